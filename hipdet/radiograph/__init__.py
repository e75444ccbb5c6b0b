"""Radiographs as upright grey pictures, with errors that say what is wrong.

The stored pixels of a film and the film as a person sees it differ when EXIF orientation is set; everything here is in
the upright frame, which is the frame of the labels.
"""

from hipdet.radiograph.header import RadiographHeader
from hipdet.radiograph.read import read_deep, read_header, read_radiograph, read_reduced, read_series_description
from hipdet.radiograph.reduced import ReducedFilm

__all__ = [
    "RadiographHeader",
    "ReducedFilm",
    "read_deep",
    "read_header",
    "read_radiograph",
    "read_reduced",
    "read_series_description",
]

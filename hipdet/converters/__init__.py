"""One converter per data set: which films, which labels, which patient."""

from hipdet.converters.cgoa import find_cgoa
from hipdet.converters.folder import find_folder
from hipdet.converters.fracatlas import convert_fracatlas
from hipdet.converters.gis import find_gis
from hipdet.converters.hip_table import HipRow, films_of_table, read_hip_table
from hipdet.converters.oaih import find_oaih
from hipdet.converters.phantom import convert_phantoms

__all__ = [
    "HipRow",
    "convert_fracatlas",
    "convert_phantoms",
    "films_of_table",
    "find_cgoa",
    "find_folder",
    "find_gis",
    "find_oaih",
    "read_hip_table",
]

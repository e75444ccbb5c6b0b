"""Radiographs as upright grey pictures, with errors that say what is wrong.

The stored pixels of a film and the film as a person sees it differ when EXIF orientation is set; everything here is in
the upright frame, which is the frame of the labels.
"""

"""Radiographs as upright grey pictures, with errors that say what is wrong.

If EXIF orientation is set, the stored pixels of a film differ from the film that a viewer shows; everything here is in the
upright frame, which is the frame of the labels.
"""

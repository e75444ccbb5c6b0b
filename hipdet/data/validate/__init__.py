"""Annotation files and films, checked before anything is trained on them."""

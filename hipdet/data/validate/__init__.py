"""Checks of annotation files and films before training."""

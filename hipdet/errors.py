"""Errors a user can mend.  Command-line tools print them without a traceback and exit with 2."""

from __future__ import annotations


class HipdetError(Exception):
    """Base of every error that user input can cause: the message names the cause and how to mend it."""


class RadiographError(HipdetError):
    """A radiograph that can't be read: missing, truncated, not a picture."""


class DatasetError(HipdetError):
    """Annotations or films that can't be trained or tested on."""


class CheckpointError(HipdetError):
    """A checkpoint that is missing, damaged, unsafe or of another model."""


class ConfigError(HipdetError):
    """A config whose parts contradict each other."""

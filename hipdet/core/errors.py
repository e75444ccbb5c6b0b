"""Errors a user can fix.  Command-line tools print them without a traceback and exit with 2."""

from __future__ import annotations

from collections.abc import Sequence


class HipdetError(Exception):
    """Base of every error that user input can cause: the message names the cause and how to fix it."""


class RadiographError(HipdetError):
    """A radiograph that can't be read: missing, truncated, not a picture.

    Attributes:
        reason: What is wrong, and how to fix it.
        film: Its path or name; empty where that isn't known yet.
    """

    def __init__(self, reason: str, film: str = "") -> None:
        super().__init__(reason, film)  # both, so that the error survives the way back from another process
        self.reason = reason
        self.film = film

    def __str__(self) -> str:
        return f"{self.film}: {self.reason}" if self.film else self.reason


class DatasetError(HipdetError):
    """Annotations or films that can't be trained or tested on."""


class CheckpointError(HipdetError):
    """A checkpoint that is missing, damaged, unsafe or of another model."""


class ConfigError(HipdetError):
    """A config whose parts contradict each other."""


SHOWN = 20


def raise_faults(subject: object, faults: Sequence[str]) -> None:
    """Raise DatasetError with the number of `faults` in `subject` and the first 20 of them, if there are any."""
    if not faults:
        return
    lines = [f"{subject}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", *faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"... and {len(faults) - SHOWN} more")
    raise DatasetError("\n  ".join(lines))

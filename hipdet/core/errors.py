"""Errors that a user can fix.  The command line prints them without a traceback and exits with 2."""

from __future__ import annotations

import re
from collections.abc import Sequence


class HipdetError(Exception):
    """Base class of all errors that user input can cause; the message names the cause and the remedy."""


class RadiographError(HipdetError):
    """A radiograph that can't be read: missing, truncated, not a picture.

    Attributes:
        reason: What is wrong, and how to fix it.
        film: Path or name of the film; empty where that isn't known yet.
    """

    def __init__(self, reason: str, film: str = "") -> None:
        super().__init__(reason, film)  # both, so that the error can be unpickled in another process
        self.reason = reason
        self.film = film

    def __str__(self) -> str:
        return f"{self.film}: {self.reason}" if self.film else self.reason


class DatasetError(HipdetError):
    """Annotations or films that can't be trained or tested on."""


class CheckpointError(HipdetError):
    """A checkpoint or an exported model that is missing, damaged, unsafe or of another model."""


class ConfigError(HipdetError):
    """A config or an option that is missing, invalid or contradicts another one."""


class StorageError(HipdetError):
    """A file that couldn't be written: the disk is full, or the folder isn't writable, or no longer."""


SHOWN = 20
LONGEST_LINE = 1000  # characters; a name in a file may have millions
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """`text` for a line of a terminal: control characters, which names in files may have, are escaped, and it is cut."""
    cut = f" ... ({len(text)} characters)" if len(text) > LONGEST_LINE else ""
    return _CONTROL.sub(lambda letter: repr(letter[0])[1:-1], text[:LONGEST_LINE]) + cut


def raise_faults(subject: object, faults: Sequence[str]) -> None:
    """Raise DatasetError if there are `faults`, with their number and the first 20 of them; `subject` is what has them."""
    if not faults:
        return
    lines = [f"{subject}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", *map(one_line, faults[:SHOWN])]
    if len(faults) > SHOWN:
        lines.append(f"... and {len(faults) - SHOWN} more")
    raise DatasetError("\n  ".join(lines))

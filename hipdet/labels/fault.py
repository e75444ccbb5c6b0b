"""Faults of label files: raised where they are found, collected with file and place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hipdet.errors import HipdetError


class LabelFault(HipdetError):
    """What is wrong at one place of a label file; :class:`Faults` adds file and place."""


class Faults:
    """The faults found so far, each as ``file: place: what is wrong``."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def at(self, *where: str) -> Iterator[None]:
        """Collect the LabelFault of the block, which ends with it, under `where`: file and place, empty ones left out."""
        try:
            yield
        except LabelFault as fault:
            self.found.append(": ".join([*filter(None, where), str(fault)]))

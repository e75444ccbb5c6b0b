"""Trainings that carry on: a folder with a record of what it was made from, and of what came out.

What is done film by film carries on by a :class:`hipdet.core.files.Journal`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipdet.core.errors import ConfigError
from hipdet.core.files import locked, read_json, write_json

INPUTS, RECORD = "inputs.json", "record.json"


def fingerprint(content: Any) -> str:
    """SHA-256 of bytes, of a text, or of JSON content."""
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content, sort_keys=True)
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make the folder `out`, and let no other process work there meanwhile.

    Raises:
        DatasetError: one does.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"{out}: another run is at work here; wait for it or choose another --out"):
        yield


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training: ``inputs.json`` is written first, ``record.json`` last."""

    folder: Path

    def claim(self, inputs: Mapping[str, Any]) -> bool:
        """Note `inputs`, fingerprints by name, in a new folder; refuse one that was made from others.

        Returns:
            Whether it is new.

        Raises:
            ConfigError: inputs differ.
        """
        path = self.folder / INPUTS
        if not path.is_file():
            write_json(path, inputs)
            return True
        found = read_json(path, "inputs of a training: remove the folder to train it anew", ConfigError)
        differ = [name for name in inputs if found.get(name) != inputs[name]]
        if differ:
            raise ConfigError(
                f"{self.folder}: holds a training with other settings ({', '.join(differ)} differ), those of "
                f"its config.py: choose another --out or name, give the same settings, or remove the folder to train it anew"
            )
        return False

    @property
    def record(self) -> dict[str, Any] | None:
        """What :meth:`finish` noted; None as long as there is something to do."""
        path = self.folder / RECORD
        return read_json(path, "the record of a training: remove it and run again") if path.is_file() else None

    def finish(self, record: Mapping[str, Any]) -> None:
        """Note what came out: all is done."""
        write_json(self.folder / RECORD, record)

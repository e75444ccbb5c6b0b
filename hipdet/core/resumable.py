"""Trainings that can be resumed: a folder that records the inputs of a training and its results.

Work on single films is resumed from a :class:`hipdet.core.files.Journal` instead.
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
from hipdet.core.files import locked, write_json
from hipdet.core.records import Record, read_json

INPUTS, RECORD = "inputs.json", "record.json"


def fingerprint(content: Any) -> str:
    """SHA-256 of bytes, of a string, or of anything that JSON can hold."""
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content, sort_keys=True)
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make the folder `out`, and keep other processes from using it during the block.

    Raises:
        DatasetError: another process uses it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"{out}: another run is using this folder: wait until it ends, or choose another --out"):
        yield


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training: ``inputs.json`` is written first, ``record.json`` last."""

    folder: Path

    def claim(self, inputs: Mapping[str, Any]) -> bool:
        """Record `inputs`, fingerprints by name, in a new folder; check them in one that exists.

        Returns:
            Whether the folder is new.

        Raises:
            ConfigError: the folder was made from other inputs.
        """
        path = self.folder / INPUTS
        if not path.is_file():
            write_json(path, inputs)
            return True
        again = "remove the folder to train again"
        found = Record.of(read_json(path, f"inputs of a training: {again}", ConfigError), path, ConfigError, again)
        differ = [name for name in inputs if found.values.get(name) != inputs[name]]
        if differ:
            raise ConfigError(
                f"{self.folder}: holds a training with other settings ({', '.join(differ)} differ), which its config.py "
                f"shows: use the same settings, choose another --out or name, or remove the folder to train again"
            )
        return False

    @property
    def record(self) -> Record | None:
        """The record that :meth:`finish` wrote; None if the training isn't finished.

        Raises:
            DatasetError: the file isn't a JSON object.
        """
        path, again = self.folder / RECORD, "remove the file and run again"
        if not path.is_file():
            return None
        return Record.of(read_json(path, f"the record of a training: {again}"), path, remedy=again)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write `record`, the results, which marks the training as finished."""
        write_json(self.folder / RECORD, record)

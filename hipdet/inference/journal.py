"""A file of finished films, one JSON line each, so that an interrupted run carries on; memory holds only where they stand."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hipdet.errors import DatasetError
from hipdet.inference.film_rois import FilmRois
from hipdet.inference.film_sources import FilmSource


class Journal:
    """Records of films by what they were made of: a film that changed, or another model, has none.

    Args:
        path: File; made if it isn't there.  A line that was cut short goes.
        model: What tells models, their settings and the rules of results apart: ``HipDetector.settings``.

    Raises:
        DatasetError: a file that isn't a journal.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        self.model = model
        self.places: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file: BinaryIO = path.open("a+b")
        self._index()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def key(self, source: FilmSource) -> str:
        """Of a film: a hash of its path, size, time of change and the model, as no path of the machine may enter."""
        path = source.path or Path(source.name)
        try:
            found = path.stat()
            state = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            state = "missing"
        text = f"{path.absolute()}\n{state}\n{self.model}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    def add(self, source: FilmSource, record: FilmRois) -> None:
        """Note `record` as that of `source`; it is in the file when this returns."""
        key = self.key(source)
        self.places[key] = self.file.seek(0, os.SEEK_END)
        self.file.write(json.dumps({"key": key, "film": record.to_json()}).encode() + b"\n")
        self.file.flush()

    def find(self, source: FilmSource) -> FilmRois | None:
        """The record of `source`, under its present name; None where there is none."""
        place = self.places.get(self.key(source))
        if place is None:
            return None
        self.file.seek(place)
        values = json.loads(self.file.readline())["film"]
        return FilmRois.from_json({**values, "name": source.name}, source.path)

    def _index(self) -> None:
        self.file.seek(0)
        place = 0
        for line in iter(self.file.readline, b""):
            if not line.endswith(b"\n"):
                self.file.truncate(place)
                break
            try:
                values = json.loads(line)
                FilmRois.from_json(values["film"])
                self.places[values["key"]] = place
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatasetError(
                    f"{self.path}: byte {place} is no record of a film, expected a journal of tools/predict.py: remove the "
                    f"file, or choose another --out"
                ) from error
            place += len(line)

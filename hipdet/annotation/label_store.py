"""All films' states of one annotator: kept in memory, in the journal, and behind it in the COCO file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hipdet.annotation.coco_file import Entry
from hipdet.annotation.film_state import FilmState, parse_state
from hipdet.annotation.journal import Journal
from hipdet.annotation.label_files import LabelFiles
from hipdet.annotation.project import Project
from hipdet.errors import DatasetError, HipdetError
from hipdet.radiograph.header import Size
from hipdet.validation.values import is_whole, shown


class StaleRevision(HipdetError):
    """Somebody has changed the film since it was shown; `current` is what there is now."""

    def __init__(self, film: str, current: Entry) -> None:
        super().__init__(f"{film}: changed elsewhere meanwhile, in another tab or window")
        self.current = current


class LabelStore:
    """Reads the journal of `project.annotator` in `folder`, and writes ``<annotator>.json`` and ``.exclude.csv`` beside.

    Args:
        folder: Of the labels.
        project: The task.
        patients: Pseudonym by name of every film.

    Raises:
        DatasetError: a journal that is damaged, in use, or of other classes.
    """

    def __init__(self, folder: Path, project: Project, patients: Mapping[str, str]) -> None:
        self.project = project
        self._journal = Journal(folder / f"{project.annotator}.journal")
        self._lock = threading.Lock()
        try:
            self._entries = _replay(self._journal.read(), project, folder / f"{project.annotator}.journal")
        except DatasetError:
            self._journal.close()
            raise
        self.files = LabelFiles(folder, project, patients, self.entries)
        self.files.changed()

    def entries(self) -> dict[str, Entry]:
        """All films that somebody has changed, as they are now."""
        with self._lock:
            return dict(self._entries)

    def entry(self, film: str) -> Entry:
        """What is known of `film`."""
        return self._entries.get(film, Entry())

    def save(self, film: str, revision: int, state: FilmState, size: Size | None) -> Entry:
        """Store `state`, made from the one of `revision`.

        Raises:
            StaleRevision: there is a later one.
            StorageError: it couldn't be stored; the earlier state stands.
        """
        with self._lock:
            current = self._entries.get(film, Entry())
            if revision != current.revision:
                raise StaleRevision(film, current)
            entry = Entry(state, revision + 1, size)
            self._journal.append([_line(film, entry)])
            self._entries[film] = entry
        self.files.changed()
        return entry

    def take_over(self, states: Mapping[str, tuple[FilmState, Size]]) -> list[str]:
        """Store labels made elsewhere for films that have none here; returns the films."""
        with self._lock:
            new = {film: Entry(state, 1, size) for film, (state, size) in states.items() if film not in self._entries}
            if new:
                self._journal.append([_line(film, entry) for film, entry in new.items()])
            self._entries.update(new)
        self.files.changed()
        return list(new)

    def close(self) -> None:
        """Write the files and let others open the journal."""
        self.files.close()
        self._journal.close()


def _line(film: str, entry: Entry) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    size = entry.size and list(entry.size)
    return {"film": film, "revision": entry.revision, "time": now, "size": size, **entry.state.record()}


def _replay(lines: list[dict[str, Any]], project: Project, path: Path) -> dict[str, Entry]:
    """The last state of each film; squares may have been drawn free, so their shape isn't questioned."""
    lenient = Project(project.classes, project.rois, True, project.annotator, project.source)
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        film, size, revision = line.get("film"), line.get("size"), line.get("revision")
        try:
            if not isinstance(film, str) or not is_whole(revision):
                raise DatasetError(f"film is {shown(film)}, revision {shown(revision)}, expected a name and a number")
            if size is not None and not (isinstance(size, list) and len(size) == 2 and all(map(is_whole, size))):
                raise DatasetError(f"size is {shown(size)}, expected [width, height] or null")
            pixels = None if size is None else (int(size[0]), int(size[1]))
            entries[film] = Entry(parse_state(line, lenient, pixels), int(revision or 0), pixels)
        except DatasetError as error:
            raise DatasetError(
                f"{path}: line {number}: {error}: name these --classes, or another --annotator"
            ) from error
    return entries

"""The film states of one annotator: in memory, in the journal, and in ``<annotator>.json``, a COCO file made from them.

``<annotator>.exclude.csv`` lists the excluded films.  Labels made elsewhere can be imported and corrected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import FilmState, Project, clip, is_square, parse_state, squared
from hipdet.core.annotations import UNKNOWN_PATIENTS
from hipdet.core.errors import DatasetError, HipdetError
from hipdet.core.files import Journal, write_csv, write_json
from hipdet.core.records import is_whole, shown
from hipdet.data.candidates import Exclusion, Rules
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.collect import upright_rois, with_sides
from hipdet.data.film_status import is_done
from hipdet.data.formats.reader import read_labels
from hipdet.data.formats.record import FilmLabels
from hipdet.data.match import FilmIndex, match_labels
from hipdet.radiographs.grey import Size
from hipdet.radiographs.read import read_header


@dataclass(frozen=True)
class Entry:
    """The state of a film, with its revision and size.

    Attributes:
        state: Boxes and remarks.
        revision: How often it has changed; 0 for a film without any label.
        size: ``(width, height)`` of the upright film; None if it can't be read.
    """

    state: FilmState = field(default_factory=FilmState)
    revision: int = 0
    size: Size | None = None


def build_label_coco(entries: Mapping[str, Entry], patients: Mapping[str, str], project: Project) -> dict[str, Any]:
    """Build the COCO dictionary of the films that are labelled or excluded, sorted by name.

    Boxes are clipped to the film; those of an excluded film are left out.  Image records have ``status``, and, only where
    they apply, ``exclude`` with the reason and ``unsure``.

    Args:
        entries: Entries by film name, which is the path below the folder.
        patients: Pseudonyms by film name.
        project: Its classes become the categories.
    """
    films = []
    for name, entry in sorted(entries.items()):
        state, size, status = entry.state, entry.size, entry.state.status(project.rois)
        if size is None or status == "new":
            continue
        drawn = [] if state.exclude else [Roi(clip(roi.box, size), roi.label) for roi in state.rois]
        rois = tuple(sorted(drawn, key=lambda roi: roi.box))
        remarks = {"exclude": state.exclude, "unsure": state.unsure}
        extra = {
            "annotator": project.annotator,
            "status": status,
            **{key: each for key, each in remarks.items() if each},
        }
        sided = with_sides(rois) if project.rois == 2 else rois
        films.append(Film(name, *size, project.source, patients.get(name, name), sided, extra))
    info = {"description": "ROIs drawn on upright radiographs, 0-based", **UNKNOWN_PATIENTS}  # each film counts as one
    return build_coco(films, project.classes, info)


REST = 5.0  # pause after writing, in multiples of its duration, which is half a second for thousands of films
LONGEST_REST = 5.0  # s
RETRY = 3.0  # s, after an error


class LabelFiles:
    """Writes what `entries` returns soon after a call of :meth:`changed`; quick successive changes are written together."""

    def __init__(
        self, folder: Path, project: Project, patients: Mapping[str, str], entries: Callable[[], Mapping[str, Entry]]
    ) -> None:
        self.coco = folder / f"{project.annotator}.json"
        self.exclusions = folder / f"{project.annotator}.exclude.csv"
        self.fault: str | None = None
        self._project, self._patients, self._entries = project, patients, entries
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="label files", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Request that the files be written."""
        self._changed.set()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._closing.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            self._changed.clear()
            start = time.monotonic()
            self._write()
            if self.fault:
                self._changed.set()
                self._closing.wait(RETRY)
            else:
                self._closing.wait(min(REST * (time.monotonic() - start), LONGEST_REST))
        if self._changed.is_set():
            self._write()

    def _write(self) -> None:
        entries = self._entries()
        excluded = [(name, entry.state.exclude) for name, entry in sorted(entries.items()) if entry.state.exclude]
        try:
            write_json(self.coco, build_label_coco(entries, self._patients, self._project))
            write_csv(self.exclusions, [("film", "reason"), *excluded])  # what hipdet convert takes as --exclude
            self.fault = None
        except (OSError, HipdetError) as error:  # nothing is lost: the journal has every change
            reason = error.strerror if isinstance(error, OSError) else error
            self.fault = f"{self.coco.name} is not up to date: {reason}; the journal has every change"


class StaleRevision(HipdetError):
    """The film has changed since it was shown; `current` is its present entry."""

    def __init__(self, film: str, current: Entry) -> None:
        super().__init__(f"{film}: changed elsewhere meanwhile, in another tab or window")
        self.current = current


BUSY = "another hipdet annotate is writing it: close that one, or choose another --annotator"


class LabelStore:
    """Reads the journal of `project.annotator` in `folder`, and writes ``<annotator>.json`` and ``.exclude.csv`` beside it.

    Args:
        folder: Folder of the labels.
        project: The task.
        patients: Pseudonyms by film name.

    Raises:
        DatasetError: a journal that is damaged, in use, or has other classes.
    """

    def __init__(self, folder: Path, project: Project, patients: Mapping[str, str]) -> None:
        self.project = project
        self._journal = Journal(folder / f"{project.annotator}.journal", BUSY, synced=True)
        self._lock = threading.Lock()
        try:
            self._entries = _replay(self._journal, project)
        except DatasetError:
            self._journal.close()
            raise
        self.files = LabelFiles(folder, project, patients, self.entries)
        self.files.changed()

    def entries(self) -> dict[str, Entry]:
        """The present entries of all films that have one."""
        with self._lock:
            return dict(self._entries)

    def entry(self, film: str) -> Entry:
        """The entry of `film`; an empty one if it has none."""
        return self._entries.get(film, Entry())

    def save(self, film: str, revision: int, state: FilmState, size: Size | None) -> Entry:
        """Store `state`, which was made from revision `revision`.

        Raises:
            StaleRevision: there is a later revision.
            StorageError: `state` couldn't be stored; the earlier one is kept.
        """
        with self._lock:
            current = self.entry(film)
            if revision != current.revision:
                raise StaleRevision(film, current)
            entry = Entry(state, revision + 1, size)
            self._journal.append([_line(film, entry)])
            self._entries[film] = entry
        self.files.changed()
        return entry

    def take_over(self, states: Mapping[str, tuple[FilmState, Size]]) -> list[str]:
        """Import labels made elsewhere for films that have no entry; returns these films."""
        with self._lock:
            new = {film: Entry(state, 1, size) for film, (state, size) in states.items() if film not in self._entries}
            if new:
                self._journal.append([_line(film, entry) for film, entry in new.items()])
            self._entries.update(new)
        self.files.changed()
        return list(new)

    def close(self) -> None:
        """Write the files and release the journal."""
        self.files.close()
        self._journal.close()


def _line(film: str, entry: Entry) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    size = entry.size and list(entry.size)
    return {"film": film, "revision": entry.revision, "time": now, "size": size, **entry.state.record()}


def _replay(journal: Journal, project: Project) -> dict[str, Entry]:
    """The last state of each film; boxes of any shape are accepted, as ``--free-shape`` may have been set."""
    lenient = replace(project, free_shape=True)
    entries: dict[str, Entry] = {}
    for number, (_, line) in enumerate(journal.records(), 1):
        film, size, revision = line.get("film"), line.get("size"), line.get("revision")
        try:
            if not isinstance(film, str) or not is_whole(revision):
                raise DatasetError(f"film is {shown(film)}, revision {shown(revision)}, expected a name and a number")
            if size is not None and not (isinstance(size, list) and len(size) == 2 and all(map(is_whole, size))):
                raise DatasetError(f"size is {shown(size)}, expected [width, height] or null")
            pixels = None if size is None else (int(size[0]), int(size[1]))
            entries[film] = Entry(parse_state(line, lenient, pixels), int(revision or 0), pixels)
        except DatasetError as error:
            fault = f"{journal.path}: line {number}: {error}"
            raise DatasetError(f"{fault}: use the --classes of this journal, or another --annotator") from error
    return entries


@dataclass
class OldLabels:
    """Imported states by film, all unchecked, and notes on what was changed or left out."""

    states: dict[str, tuple[FilmState, Size]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_old_labels(path: Path, films: FilmFolder, project: Project) -> OldLabels:
    """Read the labels of `path`, in any format of :mod:`hipdet.data.formats`, for the films of the folder.

    In a project of squares, other boxes are expanded to squares.

    Raises:
        DatasetError: label files that can't be read.
    """
    index = FilmIndex(films.candidates.values())
    no_exclusions: FilmIndex[Exclusion] = FilmIndex(())

    def film_size(film: str) -> Size | None:
        found = index.find(film)
        return films.size(found[0].name) if len(found) == 1 else None

    matches = match_labels(read_labels(path, film_size=film_size), index, no_exclusions)
    rules = Rules(project.source, project.classes, rois=None, scaled_labels=True)
    old = OldLabels(notes=[f"{fault.name}: {fault.reason}" for fault in matches.faults])
    for name, labels in matches.of_film.items():
        try:
            _take(name, labels, films, project, rules, old)
        except HipdetError as error:
            old.notes.append(f"left out: {error}")
    if matches.without_film:
        old.notes.append(f"{len(matches.without_film)} labelled films are not in this folder")
    return old


def _take(
    name: str, labels: list[FilmLabels], films: FilmFolder, project: Project, rules: Rules, old: OldLabels
) -> None:
    if len(labels) > 1:
        old.notes.append(f"{name}: labelled {len(labels)} times, the first is used ({labels[0].file.name})")
    candidate = films.candidates[name]
    header = read_header(candidate.file.path, name)
    upright = upright_rois(labels[0], header, candidate, rules)
    if upright.warning:
        old.notes.append(upright.warning)
    if upright.ignored:
        old.notes.append(f"{name}: {len(upright.ignored)} boxes that are to be ignored (iscrowd, ignore) are left out")
    rois = upright.rois
    if not project.free_shape:
        unequal = [roi for roi in rois if not is_square(roi.box)]
        rois = tuple(Roi(squared(roi.box, header.upright), roi.label) if roi in unequal else roi for roi in rois)
        if unequal:
            old.notes.append(f"{name}: {len(unequal)} boxes are not square and were expanded to squares")
    none = not rois and is_done(labels[0].remarks)  # in other files, nobody may have looked at a film without boxes
    if rois or none:
        old.states[name] = FilmState(rois, none=none), header.upright

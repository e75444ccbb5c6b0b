"""All films' states of one annotator: in memory, in the journal, and behind it in ``<annotator>.json``, which is COCO.

``<annotator>.exclude.csv`` has the films left out.  Labels made elsewhere are taken over, to be corrected.
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
from hipdet.core.files import Journal, is_whole, shown, write_csv, write_json
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
    """A film's state and what goes with it.

    Attributes:
        state: Of the film.
        revision: How often it has changed; 0 for a film without any label.
        size: ``(width, height)`` of the upright film; None if it can't be read.
    """

    state: FilmState = field(default_factory=FilmState)
    revision: int = 0
    size: Size | None = None


def build_label_coco(entries: Mapping[str, Entry], patients: Mapping[str, str], project: Project) -> dict[str, Any]:
    """The films that somebody labelled or excluded, sorted by name.

    Boxes are clipped to the film; those of an excluded film are left out.  Image records have ``status``, and where there is
    something to say ``exclude`` with the reason and ``unsure``.

    Args:
        entries: By name of the film, its path below the folder.
        patients: Pseudonym by name of the film.
        project: Whose classes are the categories.
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
    info = {"description": "ROIs drawn on upright radiographs, 0-based", **UNKNOWN_PATIENTS}  # each film is one
    return build_coco(films, project.classes, info)


REST = 5.0  # times the time of writing that is waited before the next: thousands of films take half a second
LONGEST_REST = 5.0  # s
RETRY = 3.0  # s, after an error


class LabelFiles:
    """Writes what `entries` returns soon after each call of :meth:`changed`; many changes make one writing."""

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
        """There is something to write."""
        self._changed.set()

    def close(self) -> None:
        """Write what there is and end the thread."""
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
        except (OSError, HipdetError) as error:  # the journal has it all: it is written once this is fixed
            reason = error.strerror if isinstance(error, OSError) else error
            self.fault = f"{self.coco.name} is not up to date: {reason}; the journal is"


class StaleRevision(HipdetError):
    """Somebody has changed the film since it was shown; `current` is what there is now."""

    def __init__(self, film: str, current: Entry) -> None:
        super().__init__(f"{film}: changed elsewhere meanwhile, in another tab or window")
        self.current = current


BUSY = "another hipdet annotate is writing it: close that one, or choose another --annotator"


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
            current = self.entry(film)
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


def _replay(journal: Journal, project: Project) -> dict[str, Entry]:
    """The last state of each film; squares may have been drawn free, so their shape isn't questioned."""
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
            raise DatasetError(f"{fault}: name these --classes, or another --annotator") from error
    return entries


@dataclass
class OldLabels:
    """States by film, all of them unchecked, and sentences on what wasn't taken over as it is."""

    states: dict[str, tuple[FilmState, Size]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_old_labels(path: Path, films: FilmFolder, project: Project) -> OldLabels:
    """The labels of `path`, in any format of :mod:`hipdet.data.formats`, for the films that are here.

    In a project of squares, boxes become the squares around them.

    Raises:
        DatasetError: label files that can't be read.
    """
    index = FilmIndex(films.candidates.values())
    none: FilmIndex[Exclusion] = FilmIndex(())

    def film_size(film: str) -> Size | None:
        found = index.find(film)
        return films.size(found[0].name) if len(found) == 1 else None

    matches = match_labels(read_labels(path, film_size=film_size), index, none)
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
        old.notes.append(f"{name}: labelled {len(labels)} times, the first is taken ({labels[0].file.name})")
    candidate = films.candidates[name]
    header = read_header(candidate.file.path, name)
    upright = upright_rois(labels[0], header, candidate, rules)
    if upright.warning:
        old.notes.append(upright.warning)
    if upright.ignored:
        old.notes.append(f"{name}: {len(upright.ignored)} boxes that are to be ignored (iscrowd, ignore) are left out")
    rois = upright.rois
    if not project.free_shape:
        odd = [roi for roi in rois if not is_square(roi.box)]
        rois = tuple(Roi(squared(roi.box, header.upright), roi.label) if roi in odd else roi for roi in rois)
        if odd:
            old.notes.append(f"{name}: {len(odd)} boxes are not square, the squares around them are taken")
    none = not rois and is_done(labels[0].remarks)  # in other files no box may also mean that nobody has looked
    if rois or none:
        old.states[name] = FilmState(rois, none=none), header.upright

"""The film states of one annotator: in memory, in the journal, and in ``<annotator>.json``, a COCO file made from them.

``<annotator>.exclude.csv`` lists the excluded films.  Labels made elsewhere can be imported and corrected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.annotate.film_folder import FilmFolder, Seen
from hipdet.annotate.film_state import (
    MOST_BOXES,
    Entry,
    FilmState,
    Project,
    Stamp,
    is_reason,
    is_square,
    parse_entry,
    parse_state,
    squared,
)
from hipdet.annotate.label_coco import REMEDY, build_label_coco, is_drawn, read_label_coco
from hipdet.core.errors import DatasetError, HipdetError, StorageError
from hipdet.core.files import Journal, JournalLost, set_aside, write_csv, write_json
from hipdet.core.records import Record
from hipdet.data.candidates import Exclusion, Rules
from hipdet.data.coco_file import Roi
from hipdet.data.collect import upright_rois
from hipdet.data.film_status import DRAWN, EXCLUDE, UNSURE, is_done
from hipdet.data.formats.reader import read_labels
from hipdet.data.formats.record import FilmLabels
from hipdet.data.match import FilmIndex, match_labels
from hipdet.radiographs.grey import Size

REST = 5.0  # pause after writing, in multiples of its duration, which is half a second for thousands of films
LONGEST_REST = 5.0  # s
RETRY = 3.0  # s, after an error


class LabelFiles:
    """Writes what `entries` returns soon after a call of :meth:`changed`; quick successive changes are written together.

    If another program replaces the file `coco` meanwhile, its file is kept beside ours.
    """

    def __init__(
        self, coco: Path, project: Project, patients: Mapping[str, str], entries: Callable[[], Mapping[str, Entry]]
    ) -> None:
        self.coco, self.exclusions = coco, coco.with_name(f"{project.annotator}.exclude.csv")
        self.fault: str | None = None
        self._written = _identity(coco)
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
            if self.coco.is_file() and _identity(self.coco) != self._written:
                set_aside(self.coco)
            write_json(self.coco, build_label_coco(entries, self._patients, self._project))
            self._written = _identity(self.coco)
            write_csv(self.exclusions, [("film", "reason"), *excluded])  # what hipdet convert takes as --exclude
            self.fault = None
        except (OSError, HipdetError) as error:  # nothing is lost: the journal has every change
            reason = error.strerror if isinstance(error, OSError) else error
            self.fault = f"{self.coco.name} is not up to date: {reason}; the journal has every change"


def _identity(path: Path) -> object:
    """What another program changes when it replaces or rewrites the file; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


class StaleRevision(HipdetError):
    """The film `film` has changed since it was shown."""

    def __init__(self, film: str, reason: str = "changed elsewhere meanwhile, in another tab or window") -> None:
        super().__init__(f"{film}: {reason}")
        self.film = film


BUSY = "another hipdet annotate is writing it: close that one, or choose another --annotator"


class LabelStore:
    """Reads the journal of `project.annotator` in `folder`, and writes ``<annotator>.json`` and ``.exclude.csv`` beside it.

    What the journal lacks, or has in an earlier revision, is read from ``<annotator>.json``: the journal may have been lost.
    If it is lost while the store is open, it is written again from memory.

    Args:
        folder: Folder of the labels.
        project: The task.
        patients: Pseudonyms by film name.
        films: Tells which films were replaced since they were labelled.

    Attributes:
        notes: What an annotator should know of the files that were read.
        fault: Why nothing can be stored at present; None if it can, as far as is known.

    Raises:
        DatasetError: a journal that is damaged, in use, or has other classes; without a journal, the same of the COCO file.
        StorageError: the journal can't be written.
    """

    def __init__(
        self, folder: Path, project: Project, patients: Mapping[str, str], films: FilmFolder | None = None
    ) -> None:
        self.project, self.notes = project, list[str]()
        self.fault: str | None = None
        self._films, self._lock = films, threading.Lock()
        self._journal = Journal(folder / f"{project.annotator}.journal", BUSY, synced=True)
        coco = folder / f"{project.annotator}.json"
        try:
            self._entries = _replay(self._journal, project)
            self._complete_from(coco)
        except BaseException:
            self._journal.close()
            raise
        if films:
            self._look_at(films)
        self.files = LabelFiles(coco, project, patients, self.entries)
        self.files.changed()

    def _complete_from(self, coco: Path) -> None:
        """Add to the journal what only the file `coco` has; it will be overwritten, so a copy is kept."""
        if not coco.is_file():
            return
        try:
            found = read_label_coco(coco, self.project, self._entries)
        except DatasetError as error:
            if not self._entries:
                raise
            self.notes.append(f"{error}; the journal's labels are used, and the file is kept as {set_aside(coco).name}")
            return
        known = self._entries
        later = {
            film: each for film, each in found.items() if film not in known or each.revision > known[film].revision
        }
        if edited := len(found) - len(later):
            self.notes.append(f"{coco}: was edited elsewhere ({edited} films); the journal's labels of these are used")
        if later:
            self.notes.append(f"{coco}: labels of {len(later)} films, which {self._journal.path.name} lacks, were read")
        if found:
            self.notes[-1] += f"; the file is kept as {set_aside(coco).name}"
            self._store(later)

    def _look_at(self, films: FilmFolder) -> None:
        """Find out which films were replaced; a film is read only if its file has changed, or its stamp isn't known."""
        moved: dict[str, Entry] = {}
        labelled = [(film, entry) for film, entry in self._entries.items() if film in films.candidates]
        for film, entry in tqdm(labelled, "labelled films", unit="film", disable=None, leave=False):
            seen = entry.size and films.look(film, entry.stamp and Seen(entry.size, entry.stamp))
            if seen and seen.size == entry.size and seen.stamp != entry.stamp:
                moved[film] = replace(entry, stamp=seen.stamp)
        if moved:
            with suppress(StorageError):  # the next start will be slower
                self._store(moved)

    def entries(self) -> dict[str, Entry]:
        """The present entries of all films that have one."""
        with self._lock:
            return {film: self._present(film, entry) for film, entry in self._entries.items()}

    def entry(self, film: str) -> Entry:
        """The entry of `film`; an empty one if it has none."""
        return self._present(film, self._entries.get(film, Entry()))

    def _present(self, film: str, entry: Entry) -> Entry:
        seen = self._films and self._films.seen(film)
        is_replaced = seen and entry.size and seen.size != entry.size and entry.state.status(None) != "new"
        return replace(entry, replaced=True) if is_replaced else entry

    def save(self, film: str, revision: int, state: FilmState, size: Size | None, stamp: Stamp | None = None) -> Entry:
        """Store `state`, which was made from revision `revision` and drawn on the film of `size` in the file of `stamp`.

        Raises:
            StaleRevision: there is a later revision.
            StorageError: `state` couldn't be stored; the earlier one is kept.
        """
        with self._lock:
            if revision != self.entry(film).revision:
                raise StaleRevision(film)
            self._store({film: Entry(state, revision + 1, size, stamp)})
        self.files.changed()
        return self.entry(film)

    def take_over(self, states: Mapping[str, tuple[FilmState, Size]]) -> list[str]:
        """Import labels made elsewhere for films that have no entry; returns these films.

        Raises:
            StorageError: they couldn't be stored.
        """
        with self._lock:
            new = {
                film: Entry(state, 1, size, self._stamp(film, size))
                for film, (state, size) in states.items()
                if film not in self._entries
            }
            if new:
                self._store(new)
        self.files.changed()
        return list(new)

    def _stamp(self, film: str, size: Size) -> Stamp | None:
        seen = self._films and self._films.seen(film)
        return seen.stamp if seen and seen.size == size else None

    def check(self) -> None:
        """Write the journal again if another program has deleted, replaced or changed it; if that fails, `fault` says why."""
        with self._lock:
            self.fault = None
            if not self._journal.is_ours:
                try:
                    self._store({})
                except StorageError as error:
                    self.fault = str(error)
                self.files.changed()

    def _store(self, new: Mapping[str, Entry]) -> None:
        """Add `new` to the journal and to memory, or to neither."""
        try:
            self._journal.append([_line(film, entry) for film, entry in new.items()])
        except JournalLost:
            self._journal.renew(_line(film, entry) for film, entry in {**self._entries, **new}.items())
        self._entries.update(new)

    def close(self) -> None:
        """Write the files and release the journal."""
        self.check()
        self.files.close()
        self._journal.close()


def _line(film: str, entry: Entry) -> dict[str, Any]:
    return {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), **entry.record(film)}


def _replay(journal: Journal, project: Project) -> dict[str, Entry]:
    """The last entry of each film."""
    entries: dict[str, Entry] = {}
    for number, (_, line) in enumerate(journal.records(), 1):
        try:
            film, entry = parse_entry(Record(line, f"{journal.path}: line {number}"), project)
        except DatasetError as error:
            raise DatasetError(f"{error}: {REMEDY}") from error
        entries[film] = entry
    return entries


@dataclass
class OldLabels:
    """Imported states by film, all unchecked, and notes on what was changed or left out."""

    states: dict[str, tuple[FilmState, Size]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_old_labels(path: Path, films: FilmFolder, project: Project) -> OldLabels:
    """Read the labels of `path`, in any format of :mod:`hipdet.data.formats`, for the films of the folder.

    In a project of squares, other boxes are expanded to squares.  Of a file of hipdet annotate, the boxes are read as they
    were drawn, and exclusions and ``unsure`` with them.

    Raises:
        DatasetError: label files that can't be read.
    """
    index = FilmIndex(films.candidates.values())
    no_exclusions: FilmIndex[Exclusion] = FilmIndex(())

    def film_size(film: str) -> Size | None:
        found = index.find(film)
        seen = films.look(found[0].name) if len(found) == 1 else None
        return seen and seen.size

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
    first = labels[0]
    if len(labels) > 1:
        old.notes.append(f"{name}: labelled {len(labels)} times, the first is used ({first.file.name})")
    if len(first.boxes) > MOST_BOXES:
        raise DatasetError(f"{name}: {len(first.boxes)} boxes, expected at most {MOST_BOXES}")
    candidate = films.candidates[name]
    header = films.header(name)
    upright = upright_rois(first, header, candidate, rules)
    if upright.warning:
        old.notes.append(upright.warning)
    if upright.ignored:
        old.notes.append(f"{name}: {len(upright.ignored)} boxes to ignore (iscrowd, ignore) are marked as cut")
    exclude = reason if is_reason(reason := first.remarks.get(EXCLUDE)) else None
    found = (*upright.rois, *(replace(roi, cut=True) for roi in upright.ignored))
    rois = tuple(
        replace(roi, box=roi.drawn, square=None)
        for roi in _as_drawn(first.remarks, exclude, found, project, header.upright)
    )
    if not project.free_shape:
        unequal = sum(not is_square(roi.box) for roi in rois)
        rois = tuple(roi if is_square(roi.box) else replace(roi, box=squared(roi.box, header.upright)) for roi in rois)
        if unequal:
            old.notes.append(f"{name}: {unequal} boxes are not square and were expanded to squares")
    none = not rois and is_done(first.remarks)  # in other files, nobody may have looked at a film without boxes
    if not (rois or none or exclude):
        return
    state = FilmState(rois, exclude, first.remarks.get(UNSURE) is True, none=none)
    try:
        old.states[name] = parse_state(state.record(), project, header.upright), header.upright
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    if exclude:
        old.notes.append(f"{name}: excluded there, so here too: {exclude}")


def _as_drawn(
    remarks: Mapping[str, Any], exclude: str | None, rois: tuple[Roi, ...], project: Project, size: Size
) -> tuple[Roi, ...]:
    """The ROIs as hipdet annotate has stored them in `remarks`, if `rois` are their annotations; `rois` if they aren't."""
    record = {**FilmState(exclude=exclude).record(), "boxes": remarks.get(DRAWN)}
    try:
        state = parse_state(record, replace(project, free_shape=True), size)
    except DatasetError:
        return rois
    return state.rois if is_drawn(state, size, rois) else rois

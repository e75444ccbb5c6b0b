"""The COCO file of an annotator's entries, written and read back: it holds all that the journal's last lines hold.

COCO has no place for some of it.  In an image record, ``drawn`` has the boxes as they were drawn, where the annotations are
others: of an excluded film, or clipped at the edge.  ``unlabelled`` lists the entries of films without image record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from hipdet.annotate.film_state import (
    DECIMALS,
    LONGEST_NAME,
    Entry,
    FilmState,
    Project,
    is_square,
    parse_entry,
    squared,
)
from hipdet.core.annotations import LARGEST_OVERHANG, UNKNOWN_PATIENTS, is_ignored
from hipdet.core.errors import DatasetError
from hipdet.core.records import Record, read_json, records
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.collect import with_sides
from hipdet.data.film_status import DRAWN, EXCLUDE, STATUS, UNCHECKED, UNSURE
from hipdet.radiographs.grey import Size

UNLABELLED = "unlabelled"


def build_label_coco(entries: Mapping[str, Entry], patients: Mapping[str, str], project: Project) -> dict[str, Any]:
    """Build the COCO dictionary of the films that are labelled or excluded, sorted by name.

    Boxes are clipped to the film, and sorted from left to right; those that are cut become ignored boxes (``iscrowd``), and
    those of an excluded film are no annotations.  Image records
    have ``status`` and ``revision``, and, only where they apply, ``exclude`` with the reason, ``unsure``, ``replaced``,
    ``drawn``, and what the status doesn't tell of ``checked`` and ``none``.

    Args:
        entries: Entries by film name, which is the path below the folder.
        patients: Pseudonyms by film name.
        project: Its classes become the categories.
    """
    films, others = [], []
    for name, entry in sorted(entries.items()):
        size, status = entry.size, entry.present.status(project.rois)
        if size is None or status == "new":
            others.append(entry.record(name))
            continue
        rois = _clipped(entry.state, size)
        extra = {"annotator": project.annotator, STATUS: status, **_remarks(entry, status, rois)}
        whole, cut = (tuple(roi for roi in rois if roi.cut == cuts) for cuts in (False, True))
        sided = with_sides(whole) if project.rois == 2 else whole
        films.append(Film(name, *size, project.source, patients.get(name, name), sided, extra, cut))
    info = {"description": "ROIs drawn on upright radiographs, 0-based", **UNKNOWN_PATIENTS}  # each film counts as one
    return {**build_coco(films, project.classes, info), **({UNLABELLED: others} if others else {})}


def _clipped(state: FilmState, size: Size) -> tuple[Roi, ...]:
    drawn = [] if state.exclude else [roi.on_film(*size, inf if roi.cut else LARGEST_OVERHANG) for roi in state.rois]
    return tuple(sorted(drawn, key=lambda roi: roi.box))


def _remarks(entry: Entry, status: str, rois: tuple[Roi, ...]) -> dict[str, Any]:
    state = entry.state
    remarks = {EXCLUDE: state.exclude, UNSURE: state.unsure, "revision": entry.revision, "replaced": entry.replaced}
    found: dict[str, Any] = {key: value for key, value in remarks.items() if value}
    if {*rois} != {*state.rois}:
        found[DRAWN] = state.record()["boxes"]
    if state.checked != (status != UNCHECKED):
        found["checked"] = state.checked
    if state.none and state.exclude:
        found["none"] = True
    return found


def is_drawn(state: FilmState, size: Size, annotated: Iterable[Roi]) -> bool:
    """Whether the annotations are what `state` gives on a film of `size`; otherwise they were edited elsewhere."""
    drawn, found = (
        sorted((roi.label, roi.cut, *(round(edge, DECIMALS) for edge in roi.box)) for roi in rois)
        for rois in (_clipped(state, size), annotated)
    )
    return drawn == found


EXPECTED = "the labels of hipdet annotate"
REMEDY = "correct or restore the file, use its --classes, or choose another --annotator"


NO_ENTRY = Entry()


def read_label_coco(path: Path, project: Project, known: Mapping[str, Entry] | None = None) -> dict[str, Entry]:
    """Read the entries of a file of :func:`build_label_coco`, also of one that was written before it held all of them.

    Annotations count more than ``drawn``: if they aren't what ``drawn`` gives, they were edited elsewhere.

    Args:
        path: File.
        project: Its classes are those that a box may have.
        known: Entries by film name; films are left out unless the file has a later revision, or another state of the same.

    Raises:
        DatasetError: not such a file, or a record in it that isn't valid.
    """
    content = read_json(path, EXPECTED)
    try:
        return _entries(Record.of(content, path), project, known or {})
    except DatasetError as error:
        raise DatasetError(f"{error}: {REMEDY}") from error


def _entries(coco: Record, project: Project, known: Mapping[str, Entry]) -> dict[str, Entry]:
    def is_earlier(record: Record, key: str) -> bool:
        film, revision = record.text(key, longest=LONGEST_NAME), record.whole("revision", 0, default=None)
        return revision is not None and revision < known.get(film, NO_ENTRY).revision

    images = [each for each in coco.records("images") if not is_earlier(each, "file_name")]
    others = records(coco.values.get(UNLABELLED, []), f"{coco.where}: {UNLABELLED}")
    boxes = _annotated(coco) if images else {}
    found = [_entry(each, boxes.get(each.whole("id"), []), project) for each in images]
    found += [parse_entry(each, project) for each in others if not is_earlier(each, "film")]
    entries = dict(found)
    if len(entries) < len(found):
        twice = Counter(film for film, _ in found).most_common(1)[0][0]
        raise DatasetError(f"{coco.where}: film {twice!r} is listed twice, expected once")
    return {film: entry for film, entry in entries.items() if film not in known or not _is_in(known[film], entry)}


def _is_in(known: Entry, entry: Entry) -> bool:
    """Whether `known` is as late as `entry` and has the same state, in whatever order of the boxes."""
    states = [replace(each.state, rois=tuple(sorted(each.state.rois, key=str))) for each in (entry, known)]
    return entry.revision <= known.revision and states[0] == states[1]


def _annotated(coco: Record) -> dict[int, list[dict[str, Any]]]:
    """Boxes by image id, as in the record of an entry; ignored ones are cut."""
    labels = {each.whole("id"): each.text("name") for each in coco.records("categories")}
    boxes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in coco.records("annotations"):
        x, y, width, height = each.box("bbox")
        box = {"box": [x, y, x + width, y + height], "label": labels.get(each.whole("category_id"))}
        boxes[each.whole("image_id")].append({**box, "cut": is_ignored(each.values)})
    return boxes


def _entry(image: Record, annotated: list[dict[str, Any]], project: Project) -> tuple[str, Entry]:
    """The entry of an image record with its annotations."""
    values, size = image.values, (image.whole("width", 1), image.whole("height", 1))
    status = image.text(STATUS, UNCHECKED)  # another tool's labels
    exclude = values.get(EXCLUDE) or ("other" if status == "excluded" else None)
    if "revision" not in values and not project.free_shape:  # an older file: the edge of the film cuts squares
        annotated = [{**each, "box": _whole(each["box"], size)} for each in annotated]

    def parse(boxes: Any) -> tuple[str, Entry]:
        entry = {
            "film": values.get("file_name"),
            "revision": values.get("revision", 1),
            "size": list(size),
            "boxes": boxes,
            EXCLUDE: exclude,
            UNSURE: values.get(UNSURE, False),
            "checked": values.get("checked", status != UNCHECKED),
            "none": values.get("none", STATUS in values and not boxes and not exclude),
        }
        return parse_entry(Record(entry, image.where), project)

    if DRAWN in values:
        film, entry = parse(values[DRAWN])
        if is_drawn(entry.state, size, () if exclude else parse(annotated)[1].state.rois):
            return film, entry
    return parse(annotated)


def _whole(box: list[float], size: Size) -> list[float]:
    """`box` as a square, if it isn't one because the edge of the film cuts it."""
    edges = box[0], box[1], box[2], box[3]
    is_cut = min(edges[:2]) <= 1 or edges[2] >= size[0] - 1 or edges[3] >= size[1] - 1
    return list(squared(edges, size)) if is_cut and not is_square(edges) else box

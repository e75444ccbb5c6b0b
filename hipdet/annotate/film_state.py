"""The task of an annotator, the state of a film: boxes and remarks, and its entry in the journal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hipdet.core.boxes import clipped
from hipdet.core.errors import DatasetError
from hipdet.core.records import MAX_SIDE, Record, finite_box, is_whole, shown
from hipdet.data.coco_file import Roi
from hipdet.radiographs.grey import Size

# the paper's reasons; free text may follow "other: "
REASONS = ("one hip", "artefact on the hip", "child", "not a pelvis", "other")
LONGEST_REASON = 200  # characters
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class Project:
    """The task of one annotator.

    Attributes:
        classes: Names in the order of their ids.
        rois: Number of ROIs on a finished film; None for any number from 1 up.
        free_shape: Whether boxes need not be square.
        annotator: Name of the annotator, and of the label files.
        source: Name of the data set, stored in every image record.
    """

    classes: tuple[str, ...] = ("hip",)
    rois: int | None = 2
    free_shape: bool = False
    annotator: str = "annotator"
    source: str = "folder"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.annotator):
            raise DatasetError(
                f"--annotator {self.annotator!r}: expected letters, digits, '_', '-' and '.', as files get this name"
            )
        good = all(name and name.isprintable() for name in self.classes)  # half a character isn't printable either
        if not self.classes or not good or len(set(self.classes)) < len(self.classes):
            found = f"--classes {' '.join(self.classes)}"
            raise DatasetError(f"{found}: expected different names, none of them empty, of printable characters")


def is_reason(text: object) -> bool:
    """Whether `text` is a reason to exclude a film: one of `REASONS`, or ``other:``, a blank and a line of free text."""
    if not isinstance(text, str) or len(text) > LONGEST_REASON or not text.isprintable():
        return False
    return text in REASONS or (text.startswith("other: ") and bool(text[7:].strip()))


MOST_BOXES = 100  # on a film
SQUARE_TOLERANCE = 0.05  # px: edges are rounded to hundredths
DECIMALS = 2

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FilmState:
    """Boxes and remarks of a film.

    Attributes:
        rois: Boxes ``(x0, y0, x1, y1)`` of the upright film as drawn: a square may reach over the edge of the film.  One that
            is ``cut`` by the edge counts as drawn, and becomes an ignored box.
        exclude: Why the film is excluded; None if it isn't.
        unsure: Whether the annotator asks for a second opinion.
        checked: Whether the annotator has drawn or confirmed the boxes; imported labels are unchecked at first.
        none: Whether the annotator has said that the film has no ROI, rather than not having drawn one yet.
    """

    rois: tuple[Roi, ...] = ()
    exclude: str | None = None
    unsure: bool = False
    checked: bool = False
    none: bool = False

    def status(self, rois: int | None) -> str:
        """``new``, ``unchecked``, ``incomplete``, ``done`` or ``excluded``; done means `rois` ROIs, or `none`."""
        if self.exclude:
            return "excluded"
        if not self.rois and not self.none:
            return "new"
        if not self.checked:
            return "unchecked"
        return "done" if self.none or rois in (None, len(self.rois)) else "incomplete"

    def record(self) -> dict[str, Any]:
        """The state as a JSON object, which :func:`parse_state` reads."""
        return {
            "boxes": [
                {"box": list(roi.box), "label": roi.label, **({"cut": True} if roi.cut else {})} for roi in self.rois
            ],
            "exclude": self.exclude,
            "unsure": self.unsure,
            "checked": self.checked,
            "none": self.none,
        }


def parse_state(record: Mapping[str, Any], project: Project, size: Size | None) -> FilmState:
    """Parse the state in `record`.

    Args:
        record: ``boxes``, ``exclude``, ``unsure``, ``checked``, ``none`` (older journals lack it); other keys are ignored.
        project: Its classes and shapes are those that a box may have.
        size: ``(width, height)`` of the upright film; None for a film that can't be read, which can only be excluded.

    Raises:
        DatasetError: a state that isn't valid.
    """
    boxes = record.get("boxes")
    if not isinstance(boxes, list) or len(boxes) > MOST_BOXES:
        raise DatasetError(f"boxes is {shown(boxes)}, expected a list of at most {MOST_BOXES}")
    if boxes and size is None:
        raise DatasetError("boxes on a film that can't be read, expected none")
    rois = tuple(_roi(each, project, size) for each in boxes if size is not None)
    if len({roi.box for roi in rois}) < len(rois):
        raise DatasetError("the same box is listed twice, expected each ROI once: delete one")
    exclude = record.get("exclude")
    if exclude is not None and not is_reason(exclude):
        raise DatasetError(f"exclude is {shown(exclude)}, expected null, {', '.join(REASONS)}, or 'other: ...'")
    flags = [record.get("unsure"), record.get("checked"), record.get("none", False)]
    if not all(isinstance(flag, bool) for flag in flags):
        raise DatasetError(f"unsure, checked and none are {shown(flags)}, expected true or false")
    if flags[2] and (rois or size is None):
        found = f"{len(rois)} boxes" if rois else "a film that can't be read"
        raise DatasetError(f"none is true with {found}, expected it only for a readable film without boxes")
    return FilmState(rois, exclude, *map(bool, flags))


def _roi(record: object, project: Project, size: Size) -> Roi:
    if not isinstance(record, dict) or record.get("label") not in project.classes:
        raise DatasetError(f"box {shown(record)}: expected a box with one of the labels {', '.join(project.classes)}")
    found, edges = f"box {shown(record.get('box'))}", finite_box(record.get("box"))
    if edges is None:
        raise DatasetError(f"{found}: expected four finite numbers [x0, y0, x1, y1]")
    x0, y0, x1, y1 = (round(edge, DECIMALS) for edge in edges)
    box = x0, y0, x1, y1
    width, height = size
    cut = record.get("cut", False)
    if not isinstance(cut, bool):
        raise DatasetError(f"{found}: cut is {shown(cut)}, expected true or false")
    if not cut and not (0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height):
        raise DatasetError(f"{found}: its centre is not on the film of {width}x{height}")
    seen = clipped(box, *size)
    if x1 - x0 < 1 or y1 - y0 < 1 or min(seen[2] - seen[0], seen[3] - seen[1]) < 1:
        raise DatasetError(f"{found}: less than 1 px wide or high on the film: draw it again")
    if not project.free_shape and not is_square(box):
        raise DatasetError(f"{found}: {x1 - x0:g} px wide and {y1 - y0:g} px high, expected a square")
    return Roi(box, record["label"], cut=cut)


def squared(box: Box, size: Size) -> Box:
    """Expand `box` to a square about its centre; where the film cuts the box on one side, the opposite edge stays."""
    side = max(box[2] - box[0], box[3] - box[1])
    spans = [_span(box[axis], box[axis + 2], size[axis], side) for axis in (0, 1)]
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _span(low: float, high: float, length: int, side: float) -> tuple[float, float]:
    cut_low, cut_high = low <= 1, high >= length - 1
    if cut_low and not cut_high:
        low = high - side
    elif not cut_high:
        low = (low + high - side) / 2
    return round(low, DECIMALS), round(low + side, DECIMALS)


def is_square(box: Box) -> bool:
    """Whether `box` is a square within the tolerance."""
    return abs((box[2] - box[0]) - (box[3] - box[1])) <= SQUARE_TOLERANCE


LONGEST_NAME = 20_000  # characters: a path has up to 4096 bytes, each of which may be a percent escape
Stamp = tuple[int, int]  # of a file: size in bytes, and time of modification in ns


@dataclass(frozen=True)
class Entry:
    """What is known of a film: the state that was stored last, its revision, and the film that it was drawn on.

    Attributes:
        state: Boxes and remarks.
        revision: How often it has changed; 0 for a film without any label.
        size: ``(width, height)`` of the upright film; None if it can't be read.
        stamp: Of the film's file; None if it isn't known.
        replaced: Whether a film of another size has taken its place since: then the state must be confirmed.
    """

    state: FilmState = field(default_factory=FilmState)
    revision: int = 0
    size: Size | None = None
    stamp: Stamp | None = None
    replaced: bool = False

    @property
    def present(self) -> FilmState:
        """The state, unchecked if the film was replaced."""
        return replace(self.state, checked=False) if self.replaced else self.state

    def record(self, film: str) -> dict[str, Any]:
        """The entry of `film` as a JSON object, which :func:`parse_entry` reads."""
        size, stamp = (pair and list(pair) for pair in (self.size, self.stamp))
        return {"film": film, "revision": self.revision, "size": size, "file": stamp, **self.state.record()}


def parse_entry(record: Record, project: Project) -> tuple[str, Entry]:
    """Parse the record of an entry; returns the film's name and its entry.

    Boxes of any shape are accepted, as ``--free-shape`` may have been set.

    Args:
        record: As of :meth:`Entry.record`; older files lack ``file`` and ``none``; other keys are ignored.
        project: Its classes are those that a box may have.

    Raises:
        DatasetError: an entry that isn't valid.
    """
    film, revision = record.text("film", longest=LONGEST_NAME), record.whole("revision", 0)
    size, stamp = _pair(record, "size", 1, MAX_SIDE), _pair(record, "file", 0)
    try:
        state = parse_state(record.values, replace(project, free_shape=True), size)
    except DatasetError as error:
        raise DatasetError(f"{record.where}: {error}") from error
    return film, Entry(state, revision, size, stamp)


def _pair(record: Record, key: str, low: int, high: int = 2**63) -> tuple[int, int] | None:
    pair = record.values.get(key)
    if pair is None:
        return None
    if not isinstance(pair, list) or len(pair) != 2 or not all(is_whole(each) and low <= each <= high for each in pair):
        record.refuse(key, f"null or two whole numbers from {low}")
    return pair[0], pair[1]

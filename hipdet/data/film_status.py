"""Which films of an annotation file have finished labels: one rule for training, testing, splits and anchor plans.

``hipdet annotate`` writes a ``status`` into every image record.  Files from other tools have none: all of their films are
used, and those without boxes are films without ROI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Coco, subset

STATUS, EXCLUDE, TAKEN, UNSURE = "status", "exclude", "taken", "unsure"
DRAWN = "drawn"  # boxes that aren't annotations: of an excluded film, or as they reach over its edge
DONE = "done"  # also for a film that was checked and has no ROI
UNCHECKED = "unchecked"
UNFINISHED = {
    "incomplete": "incomplete: its ROIs aren't all drawn",
    UNCHECKED: "unchecked: nobody has looked at its labels",
}
REMARKS = (STATUS, EXCLUDE, TAKEN, UNSURE, DRAWN)  # keys of an image record; the rule uses the first three


def left_out(image: Mapping[str, Any], unfinished: bool = False) -> str | None:
    """The reason why the film of a COCO image record is left out; None if it is used.

    Args:
        image: Image record; its `REMARKS` decide.
        unfinished: Use films that are incomplete or unchecked, as if the record had ``taken``.  Excluded films are never
            used: their boxes are no annotations.
    """
    status, reason = image.get(STATUS), image.get(EXCLUDE)
    if reason or status == "excluded":
        return f"excluded by the annotator{f': {reason}' if reason else ''}"
    return None if unfinished or image.get(TAKEN) else UNFINISHED.get(str(status))


def is_unfinished(image: Mapping[str, Any]) -> bool:
    """Whether the annotator hasn't finished the film of this image record."""
    return str(image.get(STATUS)) in UNFINISHED


def is_done(image: Mapping[str, Any]) -> bool:
    """Whether the annotator has confirmed that the boxes of this image record, possibly none, are complete."""
    return image.get(STATUS) == DONE


@dataclass(frozen=True)
class Labelled:
    """The films of a COCO file that have finished labels, and by name why the others are left out."""

    coco: Coco
    left_out: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """A sentence about the films left out; empty if there are none."""
        if not self.left_out:
            return ""
        return f"{len(self.left_out)} films are left out: {counted(self.left_out.values())}"


def brief_reason(reason: str) -> str:
    """The first words of a reason of `left_out`, such as ``unchecked``."""
    return reason.partition(":")[0]


def counted(reasons: Iterable[str]) -> str:
    """Number of films by kind of reason, the most frequent first."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(map(brief_reason, reasons)).most_common())


def labelled(coco: Coco, name: object, unfinished: bool = False) -> Labelled:
    """Keep the films of a valid COCO dictionary that have finished labels; returns the same dictionary if all have.

    Unfinished films that are used get ``taken`` in their image record, so that later steps use them too.

    Raises:
        DatasetError: no film or no box is left; `name` is the file's name in the message.
    """
    reasons = {image["id"]: left_out(image, unfinished) for image in coco["images"]}
    found = Labelled(
        subset(coco, [number for number, reason in reasons.items() if reason is None]),
        {image["file_name"]: reason for image in coco["images"] if (reason := reasons[image["id"]])},
    )
    if not found.left_out and not any(map(is_unfinished, coco["images"])):
        return Labelled(coco)
    if found.left_out and not found.coco["annotations"]:
        raise DatasetError(
            f"{name}: {found}, and no box is left, expected labels: finish them in hipdet annotate, or use unfinished "
            f"ones too (--with-unfinished, or unfinished=True of RoiDataset)"
        )
    images = [{**each, TAKEN: True} if is_unfinished(each) else each for each in found.coco["images"]]
    return Labelled({**found.coco, "images": images}, found.left_out)

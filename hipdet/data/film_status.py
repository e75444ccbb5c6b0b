"""Which films of an annotation file are labels that somebody stands by: one rule for training, tests, splits and plans.

``hipdet annotate`` writes a ``status`` into every image record.  Files of other tools have none: all of their films are
taken, those without boxes as films on which there is no ROI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hipdet.core.errors import DatasetError
from hipdet.data.coco_file import Coco, subset

STATUS, EXCLUDE, TAKEN = "status", "exclude", "taken"
DONE = "done"  # also of a film that was looked at and has no ROI
UNCHECKED = "unchecked"
UNFINISHED = {
    "incomplete": "incomplete: its ROIs aren't all drawn",
    UNCHECKED: "unchecked: nobody has looked at its labels",
}
REMARKS = (STATUS, EXCLUDE, TAKEN)  # keys of an image record that the rule goes by


def left_out(image: Mapping[str, Any], unfinished: bool = False) -> str | None:
    """Why the film of a COCO image record isn't to be taken; None if it is.

    Args:
        image: Its `REMARKS` are looked at.
        unfinished: Take films that are incomplete or unchecked, as where the record has ``taken``.  Excluded films never are:
            their boxes aren't in the file.
    """
    status, reason = image.get(STATUS), image.get(EXCLUDE)
    if reason or status == "excluded":
        return f"excluded by the annotator{f': {reason}' if reason else ''}"
    return None if unfinished or image.get(TAKEN) else UNFINISHED.get(str(status))


def is_unfinished(image: Mapping[str, Any]) -> bool:
    """Whether its annotator has more to do on the film of this image record."""
    return str(image.get(STATUS)) in UNFINISHED


def is_done(image: Mapping[str, Any]) -> bool:
    """Whether somebody who looked says that the boxes of this image record are all, be it none at all."""
    return image.get(STATUS) == DONE


@dataclass(frozen=True)
class Labelled:
    """The films of a COCO file that are labels, and of the others why not, by name."""

    coco: Coco
    left_out: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """What to tell of those left out; empty where there are none."""
        if not self.left_out:
            return ""
        return f"{len(self.left_out)} films are left out: {counted(self.left_out.values())}"


def brief_reason(reason: str) -> str:
    """The first words of a reason of `left_out`, such as ``unchecked``."""
    return reason.partition(":")[0]


def counted(reasons: Iterable[str]) -> str:
    """How many films each kind of reason leaves out, the most first."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(map(brief_reason, reasons)).most_common())


def labelled(coco: Coco, name: object, unfinished: bool = False) -> Labelled:
    """The films of a valid COCO dictionary that are labels; the same dictionary where all are.

    Those that are taken although unfinished have ``taken`` in their record from then on, so that what reads it next takes
    them too.

    Raises:
        DatasetError: no film, or no box, is left; `name` is what it calls the file.
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
            f"{name}: {found}, and no box is left, expected labels: finish them in hipdet annotate, or take unfinished "
            f"ones too (--with-unfinished, unfinished=True of RoiDataset)"
        )
    images = [{**each, TAKEN: True} if is_unfinished(each) else each for each in found.coco["images"]]
    return Labelled({**found.coco, "images": images}, found.left_out)

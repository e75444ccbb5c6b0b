"""What every reader of label files returns: a film with its boxes, as somebody labelled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipdet.labels.film_name import last_part, relative_part

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelBox:
    """One labelled box.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in continuous 0-based pixel edges of the frame in which it was drawn, ``x0 < x1``; it may
            reach over the edge of the film.
        label: Name of its class as the file has it, None where the file gives none.
        place: Where it stands in the label file: ``line 12``, ``object 2``.
    """

    box: Box
    label: str | None
    place: str


@dataclass(frozen=True)
class FilmLabels:
    """One labelled film; without boxes it is one on which somebody found nothing.

    Attributes:
        film: Name or path of the film as the label file has it: a path of the labelling machine, so never to be opened.
            YOLO files don't name their film: theirs has no extension.
        declared: ``(width, height)`` in pixels by the label file; None where it declares no size.
        boxes: In the order of the file.
        file: The label file.
        place: Where the film stands in it: ``image 3``; empty where the file is about this film only.
        annotator: Who labelled it, where the format says so and a film can stand in it once per annotator.
        ignored: Boxes that are neither ROI nor background, where the format can say so, in the order of the file.
        remarks: What tools/annotate.py says of it, such as ``status`` (see :mod:`hipdet.coco.film_status`).
    """

    film: str
    declared: tuple[int, int] | None
    boxes: tuple[LabelBox, ...]
    file: Path
    place: str = ""
    annotator: str | None = None
    ignored: tuple[LabelBox, ...] = ()
    remarks: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """File name of the film, without the folders of the labelling machine, be it Windows or POSIX."""
        return last_part(self.film)

    @property
    def relative(self) -> str | None:
        """`film` with ``/`` between folders where it leads downwards; None where it is absolute or has ``..``."""
        return relative_part(self.film)

    @property
    def width(self) -> int | None:
        """Declared, in pixels, or None."""
        return self.declared[0] if self.declared else None

    @property
    def height(self) -> int | None:
        """Declared, in pixels, or None."""
        return self.declared[1] if self.declared else None

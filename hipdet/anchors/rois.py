"""The ROIs of a data set in units that an anchor knows: the padded square has side 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import Boxes, xywh_to_xyxy
from hipdet.coco.ignored import is_ignored
from hipdet.errors import DatasetError

Floats = NDArray[np.float64]
SKETCH = 2000  # ROIs that stand for all where a first look or a median is wanted


@dataclass(frozen=True)
class Rois:
    """Boxes of films that are padded at the right and below to the square of their long side.

    Attributes:
        boxes: ``[N, 4]`` xyxy / long side of the film.
        films: The film of every box ``[N]``, an index into `long_sides`.
        labels: Index of the class of every box ``[N]``.
        long_sides: Of every film ``[F]``, in pixels, also of films without ROI.
        classes: Names.
    """

    boxes: Boxes
    films: NDArray[np.int64]
    labels: NDArray[np.int64]
    long_sides: Floats
    classes: tuple[str, ...]

    @classmethod
    def of_coco(cls, coco: Mapping[str, Any]) -> Rois:
        """The ROIs of a valid COCO dictionary; crowds and ignored boxes are none.

        Raises:
            DatasetError: a film or a box without a size.
        """
        images, categories = coco["images"], coco["categories"]
        film = {image["id"]: place for place, image in enumerate(images)}
        label = {category["id"]: place for place, category in enumerate(categories)}
        sides = np.array([max(image["width"], image["height"]) for image in images], dtype=np.float64)
        for image in images:
            if not min(image["width"], image["height"]) > 0:
                size = f"{image['width']}x{image['height']}"
                raise DatasetError(
                    f"image {image['id']} ({image['file_name']}): size {size}, expected whole pixels above 0"
                )
        chosen = [each for each in coco["annotations"] if not is_ignored(each)]
        boxes = xywh_to_xyxy([each["bbox"] for each in chosen])
        films = np.array([film[each["image_id"]] for each in chosen], dtype=np.int64)
        for place in np.flatnonzero(~(boxes[:, 2:] > boxes[:, :2]).all(axis=1))[:1]:
            raise DatasetError(
                f"annotation {chosen[place]['id']}: bbox {chosen[place]['bbox']} has no size: draw it again"
            )
        labels = np.array([label[each["category_id"]] for each in chosen], dtype=np.int64)
        return cls(boxes / sides[films][:, None], films, labels, sides, tuple(each["name"] for each in categories))

    @classmethod
    def joined(cls, parts: Sequence[Rois]) -> Rois:
        """All ROIs of several data sets.

        Raises:
            DatasetError: data sets with different classes.
        """
        classes = [part.classes for part in parts]
        if len(set(classes)) > 1:
            raise DatasetError(f"the data sets have different classes: {'; '.join(map(str, map(list, classes)))}")
        offsets = np.cumsum([0] + [len(part.long_sides) for part in parts])
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.films + offset for part, offset in zip(parts, offsets)]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.long_sides for part in parts]),
            classes[0],
        )

    def at(self, chosen: NDArray[Any]) -> Rois:
        """Those that `chosen`, indices or a mask, names; all films stay."""
        return Rois(self.boxes[chosen], self.films[chosen], self.labels[chosen], self.long_sides, self.classes)

    def of_class(self, label: int) -> Rois:
        """Those of one class."""
        return self.at(self.labels == label)

    @cached_property
    def sketch(self) -> Rois:
        """At most `SKETCH` of them, evenly spaced by size."""
        if len(self) <= SKETCH:
            return self
        order = np.argsort(self.sizes, kind="stable")
        return self.at(order[np.linspace(0, len(self) - 1, SKETCH).round().astype(np.int64)])

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def sides(self) -> Floats:
        """Width and height ``[N, 2]``."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @property
    def centres(self) -> Floats:
        """``[N, 2]``."""
        return (self.boxes[:, 2:] + self.boxes[:, :2]) / 2

    @property
    def sizes(self) -> Floats:
        """Side of the square of the same area ``[N]``: of a square the paper's ratio_ROI/image."""
        sides = self.sides
        return np.sqrt(sides[:, 0] * sides[:, 1])

    @property
    def ratios(self) -> Floats:
        """The paper's ratio_ROI/image ``[N]``, of the longer side: an edge of the film may have cut the other one."""
        return self.sides.max(axis=1)

    @property
    def aspects(self) -> Floats:
        """Height / width ``[N]``."""
        return self.sides[:, 1] / self.sides[:, 0]

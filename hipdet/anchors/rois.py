"""The ROIs of data sets in units that an anchor knows, where the padded square has side 1, and how large they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.annotations import is_ignored
from hipdet.core.boxes import Boxes, xywh_to_xyxy
from hipdet.core.errors import DatasetError
from hipdet.data.film_status import labelled
from hipdet.data.validate.check import require_valid

Floats = NDArray[np.float64]
SKETCH = 2000  # ROIs that stand for all where a first look or a median is wanted
QUANTILES = (0.0, 0.005, 0.5, 0.995, 1.0)


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
                found = f"image {image['id']} ({image['file_name']}): size {image['width']}x{image['height']}"
                raise DatasetError(f"{found}, expected whole pixels above 0")
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


@dataclass(frozen=True)
class LabelledSet:
    """The ROIs of a COCO file.

    Attributes:
        name: Of the file, without its extension.
        rois: Theirs.
        file_names: Of the films, relative to the data root.
        note: What to tell of films that were left out; empty where there are none.
    """

    name: str
    rois: Rois
    file_names: tuple[str, ...]
    note: str = ""

    @classmethod
    def read(cls, path: Path, unfinished: bool = False) -> LabelledSet:
        """Verify and read the file at `path`: the films that are labels, and with `unfinished` those that aren't yet.

        Raises:
            DatasetError: the list of its faults; a file without ROIs has one.
        """
        found = labelled(require_valid(path), path, unfinished)
        names = tuple(image["file_name"] for image in found.coco["images"])
        return cls(path.stem, Rois.of_coco(found.coco), names, str(found))

    def typical_film(self) -> int:
        """Index of the film whose ROIs are nearest to the median size, among those with the usual number of them."""
        films, sizes, count = self.rois.films, self.rois.sizes, len(self.file_names)
        per_film = np.bincount(films, minlength=count)
        usual = np.bincount(per_film[per_film > 0]).argmax()
        mean = np.bincount(films, weights=sizes, minlength=count) / np.maximum(per_film, 1)
        away = np.where(per_film == usual, np.abs(mean - np.median(sizes)), np.inf)
        return int(away.argmin())


def read_sets(paths: Sequence[Path], unfinished: bool = False) -> list[LabelledSet]:
    """Every file, each under a name of its own, as :meth:`LabelledSet.read` has it.

    Raises:
        DatasetError: a faulty file, or two of the same name.
    """
    names = [path.stem for path in paths]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DatasetError(f"two files are called {twice.pop()}.json, expected names that differ: reports go by them")
    return [LabelledSet.read(path, unfinished) for path in paths]


def validation_beside(path: Path) -> Path | None:
    """``NAME_val.json`` beside ``NAME_train.json``, where it is."""
    beside = path.with_name(f"{path.stem[: -len('train')]}val.json")
    return beside if path.stem.endswith("_train") and beside.is_file() else None


@dataclass(frozen=True)
class RoiSpread:
    """How large the ROIs of a data set, or of one of its classes, are: the paper's Figure 4.

    Spreads are minimum, 0.5%, median, 99.5%, maximum.

    Attributes:
        name: Of the data set.
        label: Of the class; empty for all.
        films: Also those without ROI.
        rois: Number.
        most_rois: On one film.
        usual_rois: On most films that have any.
        ratio: ratio_ROI/image, of the longer side.
        width: Of an ROI / long side of the film.
        height: The same.
        aspect: Height / width.
        long_side: Of films in pixels.
    """

    name: str
    label: str
    films: int
    rois: int
    most_rois: int
    usual_rois: int
    ratio: tuple[float, ...]
    width: tuple[float, ...]
    height: tuple[float, ...]
    aspect: tuple[float, ...]
    long_side: tuple[float, ...]

    @classmethod
    def of(cls, name: str, rois: Rois, label: str = "") -> RoiSpread:
        """The spread of `rois`, of which there is at least one."""
        per_film = np.bincount(rois.films, minlength=len(rois.long_sides))
        labelled = per_film[per_film > 0]
        return cls(
            name=name,
            label=label,
            films=len(rois.long_sides),
            rois=len(rois),
            most_rois=int(labelled.max()),
            usual_rois=int(np.bincount(labelled).argmax()),
            ratio=_spread(rois.ratios),
            width=_spread(rois.sides[:, 0]),
            height=_spread(rois.sides[:, 1]),
            aspect=_spread(rois.aspects),
            long_side=_spread(rois.long_sides),
        )


def spreads(name: str, rois: Rois) -> Iterator[RoiSpread]:
    """The spread of a data set, then of each of its classes if ROIs of several are there."""
    yield RoiSpread.of(name, rois)
    labels = np.unique(rois.labels)
    if len(labels) > 1:
        for label in labels.tolist():
            yield RoiSpread.of(name, rois.of_class(label), rois.classes[label])


def _spread(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))

"""The ROIs of data sets in units of the padded square, which has side 1, and the distribution of their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.annotations import drawn_box, is_ignored
from hipdet.core.boxes import Boxes, xywh_to_xyxy
from hipdet.core.errors import DatasetError
from hipdet.data.film_status import labelled
from hipdet.data.validate.check import require_valid

Floats = NDArray[np.float64]
SUBSAMPLE = 2000  # ROIs; enough for a first estimate or a median
QUANTILES = (0.0, 0.005, 0.5, 0.995, 1.0)


@dataclass(frozen=True)
class Rois:
    """ROIs on films that are padded at the right and the bottom to the square of their long side.

    Attributes:
        boxes: ``[N, 4]`` xyxy, divided by the long side of the film.
        films: Index into `long_sides` of each box's film ``[N]``.
        labels: Index into `classes` of each box's class ``[N]``.
        long_sides: Long side of each film in pixels ``[F]``, including films without an ROI.
        classes: Class names.
    """

    boxes: Boxes
    films: NDArray[np.int64]
    labels: NDArray[np.int64]
    long_sides: Floats
    classes: tuple[str, ...]

    @classmethod
    def of_coco(cls, coco: Mapping[str, Any]) -> Rois:
        """The ROIs of a valid COCO dictionary, without crowds and ignored boxes.

        Raises:
            DatasetError: a film or a box has no size.
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
        boxes = xywh_to_xyxy([drawn_box(each) for each in chosen])
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
            DatasetError: the data sets have different classes.
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
        """The ROIs that `chosen` selects (indices or a mask); all films are kept."""
        return Rois(self.boxes[chosen], self.films[chosen], self.labels[chosen], self.long_sides, self.classes)

    def of_class(self, label: int) -> Rois:
        """The ROIs of one class."""
        return self.at(self.labels == label)

    @cached_property
    def subsample(self) -> Rois:
        """At most `SUBSAMPLE` of the ROIs, evenly spaced by size."""
        if len(self) <= SUBSAMPLE:
            return self
        order = np.argsort(self.sizes, kind="stable")
        return self.at(order[np.linspace(0, len(self) - 1, SUBSAMPLE).round().astype(np.int64)])

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def sides(self) -> Floats:
        """Width and height ``[N, 2]``."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @property
    def centres(self) -> Floats:
        """Centres ``[N, 2]``."""
        return (self.boxes[:, 2:] + self.boxes[:, :2]) / 2

    @property
    def sizes(self) -> Floats:
        """Side of the square of equal area ``[N]``; for a square ROI the paper's ratio_ROI/image."""
        sides = self.sides
        return np.sqrt(sides[:, 0] * sides[:, 1])

    @property
    def ratios(self) -> Floats:
        """The paper's ratio_ROI/image ``[N]``, from the longer side, as the film's edge may cut the shorter one."""
        return self.sides.max(axis=1)

    @property
    def aspects(self) -> Floats:
        """Height / width ``[N]``."""
        return self.sides[:, 1] / self.sides[:, 0]


@dataclass(frozen=True)
class LabelledSet:
    """The ROIs of a COCO file.

    Attributes:
        name: File name without its extension.
        rois: ROIs of all films.
        file_names: Names of the films, relative to the data root.
        note: Message about films that were left out; empty if there are none.
    """

    name: str
    rois: Rois
    file_names: tuple[str, ...]
    note: str = ""

    @classmethod
    def read(cls, path: Path, unfinished: bool = False) -> LabelledSet:
        """Validate and read the file at `path`; `unfinished` includes films whose labelling isn't finished.

        Raises:
            DatasetError: the file has faults (the message lists all) or no ROI.
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
    """Read each file with :meth:`LabelledSet.read`.

    Raises:
        DatasetError: a file has faults, or two have the same name.
    """
    names = [path.stem for path in paths]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DatasetError(
            f"two files are called {twice.pop()}.json, expected different names, which reports use: rename one"
        )
    return [LabelledSet.read(path, unfinished) for path in paths]


def validation_beside(path: Path) -> Path | None:
    """The file ``NAME_val.json`` beside ``NAME_train.json``, if there is one."""
    beside = path.with_name(f"{path.stem[: -len('train')]}val.json")
    return beside if path.stem.endswith("_train") and beside.is_file() else None


@dataclass(frozen=True)
class RoiSpread:
    """The distribution of ROI sizes in a data set or in one of its classes: the paper's Figure 4.

    Each tuple has the minimum, the 0.5% quantile, the median, the 99.5% quantile and the maximum.

    Attributes:
        name: Name of the data set.
        label: Name of the class; empty for all classes.
        films: Number of films, including those without an ROI.
        rois: Number of ROIs.
        most_rois: Largest number of ROIs on a film.
        usual_rois: Most frequent number of ROIs on films that have any.
        ratio: ratio_ROI/image, from the longer side.
        width: ROI width / long side of the film.
        height: ROI height / long side of the film.
        aspect: Height / width.
        long_side: Long side of the films in pixels.
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
        """The distribution of `rois`, at least one."""
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
    """The distribution of a data set, then of each of its classes if several have ROIs."""
    yield RoiSpread.of(name, rois)
    labels = np.unique(rois.labels)
    if len(labels) > 1:
        for label in labels.tolist():
            yield RoiSpread.of(name, rois.of_class(label), rois.classes[label])


def _spread(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))

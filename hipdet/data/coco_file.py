"""Labelled films as dataclasses, their conversion to COCO and back, and parts and unions of COCO dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hipdet.core.annotations import (
    KIND,
    LARGEST_OVERHANG,
    PATIENTS,
    SQUARE,
    get_mark,
    is_ignored,
    mark_record,
    marks,
    patient_of,
    patients_mark,
    source_of,
)
from hipdet.core.boxes import Edges, clipped, get_patient_side, xywh_to_xyxy, xyxy_to_xywh
from hipdet.core.errors import DatasetError
from hipdet.core.records import shown


@dataclass(frozen=True)
class Roi:
    """One region of interest.

    Attributes:
        box: ``(x0, y0, x1, y1)``, continuous 0-based pixel edges of the upright film.
        label: Name of its class.
        picture_side: ``left`` or ``right`` as seen on the film, if known.
        implant: Whether the joint is artificial, if known.
        kind: Kind of ROI, such as ``child``, by which tests report; None if there is none.
        square: The square as drawn, if it reaches over the edge of the film; `box` is the part on the film.
        cut: Whether the annotator has marked it as cut by the edge of the film, so that it becomes an ignored box.
    """

    box: Edges
    label: str
    picture_side: str | None = None
    implant: bool | None = None
    kind: str | None = None
    square: Edges | None = None
    cut: bool = False

    @property
    def drawn(self) -> Edges:
        """The box as drawn."""
        return self.square or self.box

    def on_film(self, width: float, height: float, overhang: float = LARGEST_OVERHANG) -> Roi:
        """This ROI with the part of its box that is on the film, and the square as drawn if it reaches over the edge.

        A square that reaches out by more than `overhang` of its side, or another shape, is only clipped.
        """
        drawn = self.drawn
        box, side = clipped(drawn, width, height), max(drawn[2] - drawn[0], drawn[3] - drawn[1])
        over = max(abs(one - other) for one, other in zip(drawn, box))
        keeps = 0.01 < over <= overhang * side and replace(self, box=drawn).is_square
        return replace(self, box=box, square=drawn if keeps else None)

    @property
    def patient_side(self) -> str | None:
        """``left`` or ``right`` of the patient (see :mod:`hipdet.core.boxes`)."""
        return get_patient_side(self.picture_side)

    @property
    def side(self) -> float:
        """The longer side in pixels: the side of the square, even if an edge of the film cuts the square."""
        return max(self.drawn[2] - self.drawn[0], self.drawn[3] - self.drawn[1])

    @property
    def is_square(self) -> bool:
        """Whether width and height are equal within 0.01 px; labels are squares unless the edge of the film cuts them."""
        return abs((self.box[2] - self.box[0]) - (self.box[3] - self.box[1])) <= 0.01


@dataclass(frozen=True)
class Film:
    """One radiograph and its ROIs.

    Attributes:
        file_name: Path relative to the image root, with ``/``.
        width: Pixels, upright.
        height: Pixels, upright.
        source: Name of its data set, such as ``fracatlas``.
        patient: Pseudonym, unique within the source; splits keep the films of a patient together.
        rois: In the order of the labels.
        extra: Further fields of its image record, such as ``label_file``.
        ignored: Boxes that are neither ROI nor background, in the order of the labels.
    """

    file_name: str
    width: int
    height: int
    source: str
    patient: str
    rois: tuple[Roi, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ignored: tuple[Roi, ...] = ()

    @property
    def long_side(self) -> int:
        """The longer side in pixels."""
        return max(self.width, self.height)

    @property
    def ratios(self) -> list[float]:
        """The paper's ratio_ROI/image of each ROI: its side / the long side of the film."""
        return [roi.side / self.long_side for roi in self.rois]


def build_coco(films: Iterable[Film], classes: Sequence[str], info: Mapping[str, Any]) -> dict[str, Any]:
    """Build the COCO dictionary of `films`; the same films always give the same dictionary.

    Ids start at 1, in the given order, as pycocotools takes annotation id 0 for "no match".  Boxes become
    ``[x, y, w, h]``, rounded to 3 decimals.

    Raises:
        DatasetError: an ROI whose label isn't one of `classes`.
    """
    category_ids = {name: number for number, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, film in enumerate(films, 1):
        images.append(
            {
                "id": image_id,
                "file_name": film.file_name,
                "width": film.width,
                "height": film.height,
                "source": film.source,
                "patient": film.patient,
                **film.extra,
            }
        )
        for number, roi in enumerate((*film.rois, *film.ignored)):
            if roi.label not in category_ids:
                raise DatasetError(f"{film.file_name}: label {roi.label!r} found, expected one of {list(classes)}")
            crowd = int(number >= len(film.rois))
            annotations.append(_annotation(len(annotations) + 1, image_id, category_ids[roi.label], roi, crowd))
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    return {"info": dict(info), "images": images, "annotations": annotations, "categories": categories}


def _xywh(box: Edges) -> list[float]:
    return [round(float(value), 3) for value in xyxy_to_xywh(box)[0]]


def _annotation(number: int, image_id: int, category_id: int, roi: Roi, iscrowd: int) -> dict[str, Any]:
    bbox = _xywh(roi.box)
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": round(bbox[2] * bbox[3], 3),
        "iscrowd": iscrowd,
    }
    if roi.picture_side is not None:
        annotation["picture_side"] = roi.picture_side
        annotation["laterality"] = roi.patient_side
    if roi.implant is not None:
        annotation["implant"] = roi.implant
    more = {KIND: roi.kind, SQUARE: roi.square and _xywh(roi.square)}
    return {**annotation, **{key: value for key, value in more.items() if value}}


def _edges(xywh: Sequence[float]) -> Edges:
    x0, y0, x1, y1 = xywh_to_xyxy(xywh)[0].tolist()
    return x0, y0, x1, y1


_OWN = ("id", "file_name", "width", "height", "source", "patient")


def get_films(coco: Mapping[str, Any]) -> list[Film]:
    """The films of a valid COCO dictionary with their ROIs, in the order of the images."""
    labels = {category["id"]: category["name"] for category in coco["categories"]}
    rois: dict[tuple[int, bool], list[Roi]] = defaultdict(list)  # by image, and whether they are ignored
    for annotation in coco["annotations"]:
        square = annotation.get(SQUARE)
        roi = Roi(
            _edges(annotation["bbox"]),
            labels[annotation["category_id"]],
            annotation.get("picture_side"),
            annotation.get("implant"),
            annotation.get(KIND),
            square and _edges(square),
        )
        rois[annotation["image_id"], is_ignored(annotation)].append(roi)
    return [
        Film(
            image["file_name"],
            image["width"],
            image["height"],
            source_of(image),
            patient_of(image),
            tuple(rois[image["id"], False]),
            {key: value for key, value in image.items() if key not in _OWN},
            tuple(rois[image["id"], True]),
        )
        for image in coco["images"]
    ]


Coco = dict[str, Any]


def subset(coco: Mapping[str, Any], image_ids: Iterable[int]) -> Coco:
    """The part of `coco` with these images; ids stay, and so does the mark in ``info`` that patients aren't known."""
    wanted = set(image_ids)
    part = dict(
        coco,
        images=[image for image in coco["images"] if image["id"] in wanted],
        annotations=[annotation for annotation in coco["annotations"] if annotation["image_id"] in wanted],
    )
    # the films that have the mark may not be in the part
    if get_mark(part.get("info")) and any(map(get_mark, coco["images"])):
        info = {key: value for key, value in part["info"].items() if key != PATIENTS}
        part["info"] = {**mark_record(patients_mark({**part, "info": info})), **info}
    return part


def append(coco: Coco, added: Mapping[str, Any], name: str) -> None:
    """Append the records of `added` to `coco` with new ids, starting at 1; the first file gives the categories.

    If the ``info`` of `added` says that patients aren't known, its image records get this mark (see
    :func:`hipdet.core.annotations.marks`).

    Args:
        coco: COCO dictionary with lists ``images``, ``annotations`` and ``categories``; changed in place.
        added: COCO dictionary with the same classes.
        name: Name of `added` in errors.

    Raises:
        DatasetError: the classes differ.
    """
    classes = [category["name"] for category in added["categories"]]
    coco["categories"] = coco["categories"] or [dict(id=i, name=title) for i, title in enumerate(classes, 1)]
    expected = [category["name"] for category in coco["categories"]]
    if classes != expected:
        found = f"classes are {shown(classes)}, expected {shown(expected)} as in the other files"
        raise DatasetError(f"{name}: {found}: rename them")
    category_ids = {category["id"]: number for number, category in enumerate(added["categories"], 1)}
    image_ids: dict[int, int] = {}
    for image, mark in zip(added["images"], marks(added)):
        image_ids[image["id"]] = len(coco["images"]) + 1
        coco["images"].append({**image, "id": image_ids[image["id"]], **mark_record(mark)})
    for annotation in added["annotations"]:
        ids = dict(
            id=len(coco["annotations"]) + 1,
            image_id=image_ids[annotation["image_id"]],
            category_id=category_ids[annotation["category_id"]],
        )
        coco["annotations"].append({**annotation, **ids})

"""Films to COCO JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hipdet.boxes import xyxy_to_xywh
from hipdet.coco.film import Film, Roi
from hipdet.errors import DatasetError


def build_coco(films: Iterable[Film], classes: Sequence[str], info: Mapping[str, Any]) -> dict[str, Any]:
    """The COCO dictionary of `films`: same films, same dictionary.

    Ids count from 1 in the given order, as pycocotools takes annotation id 0 for "no match".  Boxes become
    ``[x, y, w, h]`` rounded to 3 decimals.

    Raises:
        DatasetError: a ROI whose label isn't one of `classes`.
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
            annotation = _annotation(len(annotations) + 1, image_id, category_ids[roi.label], roi)
            annotations.append(dict(annotation, iscrowd=int(number >= len(film.rois))))
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    return {"info": dict(info), "images": images, "annotations": annotations, "categories": categories}


def _annotation(number: int, image_id: int, category_id: int, roi: Roi) -> dict[str, Any]:
    bbox = [round(float(value), 3) for value in xyxy_to_xywh(roi.box)[0]]
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": round(bbox[2] * bbox[3], 3),
        "iscrowd": 0,
    }
    if roi.picture_side is not None:
        annotation["picture_side"] = roi.picture_side
        annotation["laterality"] = roi.laterality
    if roi.implant is not None:
        annotation["implant"] = roi.implant
    return annotation

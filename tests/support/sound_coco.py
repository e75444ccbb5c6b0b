"""A valid COCO file, and a function that damages it."""

import copy

SOUND = {
    "images": [
        {"id": 1, "file_name": "a/1.jpg", "width": 400, "height": 300, "patient": "P1"},
        {"id": 2, "file_name": "a/2.jpg", "width": 400, "height": 300, "patient": "P2"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 50], "area": 2500, "iscrowd": 0,
         "picture_side": "left", "laterality": "right"},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [300, 20, 50, 50], "area": 2500, "iscrowd": 0,
         "picture_side": "right", "laterality": "left"},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [20, 100, 50, 50], "area": 2500, "iscrowd": 0},
        {"id": 4, "image_id": 2, "category_id": 1, "bbox": [200, 100, 50, 50], "area": 2500, "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "hip"}],
}  # fmt: skip


def changed(place, value):
    """SOUND with one entry replaced; `place` such as ``annotations.0.bbox``; ``...`` deletes it."""
    content = copy.deepcopy(SOUND)
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    parent = content
    for part in parents:
        parent = parent[part]
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    if last == "bbox" and isinstance(value, list) and all(isinstance(side, (int, float)) for side in value[2:]):
        parent["area"] = max(1, value[2] * value[-1])
    return content

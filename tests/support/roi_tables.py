"""Small tables in the form of ``test.roi.json``, and their films."""

import numpy as np
from PIL import Image

LABEL, FOUND = (10, 10, 50, 50), (20, 20, 60, 60)
CORNERS = ("x0", "y0", "x1", "y1")


def row(image_id, iou, found=FOUND, score=0.5, annotation_id=1, source="gis", label=LABEL):
    """One ROI; `found` is None if it wasn't detected."""
    boxes = dict(zip(CORNERS, label))
    boxes.update(zip([f"found_{c}" for c in CORNERS], found or [None] * 4))
    name = f"{image_id}.png"
    return dict(
        image_id=image_id, file_name=name, source=source, annotation_id=annotation_id, iou=iou,
        confidence=score if found else 0.0, **boxes,
    )  # fmt: skip


def extra(image_id, found, score):
    """A detection without a label."""
    return dict(image_id=image_id, confidence=score, **dict(zip([f"found_{c}" for c in CORNERS], found)))


def write_films(folder, count=3):
    """Films ``1.png`` and so on, 100 by 50 pixels, whose grey is 20 times their number."""
    for number in range(1, count + 1):
        Image.fromarray(np.full((50, 100), 20 * number, np.uint8)).save(folder / f"{number}.png")
    return folder

"""Films labelled in any format, upright or as stored, convert to the same annotations."""

import json

import numpy as np
import pytest

from film_bytes import encoded
from film_sources import write
from hipdet.data.candidates import Rules
from hipdet.data.collect import LabelSource
from hipdet.data.convert import Output, convert_found
from hipdet.data.sources.folder import find_folder
from hipdet.data.validate.check import validate
from label_writers import TEN, WHOLE, WRITERS, items, raw_box

KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "tif": "TIFF"}
NINE = [sample for sample in TEN if not sample.name.endswith(".bmp")]  # which has no EXIF
ANY = pytest.mark.parametrize(("write_labels", "format", "tolerance"), WRITERS.values(), ids=WRITERS)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for sample in NINE:
        pixels = np.zeros(sample.stored[::-1], np.uint8)
        write(root / "images" / sample.name, encoded(pixels, KINDS[sample.name.split(".")[-1]], sample.orientation))
    return root


def converted(films, labels, out):
    found = find_folder(films, "films")
    conversion = convert_found(
        films, found, LabelSource({"": labels}), Rules("films", rois=None), Output(films, out), {}
    )
    assert not conversion.exclusions
    _, faults = validate(conversion.path, films)
    assert not [fault for fault in faults if not fault.warning]
    return json.loads(conversion.path.read_text()), conversion.warnings


def boxes_of(coco, sample):
    image = next(image for image in coco["images"] if image["file_name"] == f"images/{sample.name}")
    assert (image["width"], image["height"]) == sample.upright
    boxes = [annotation["bbox"] for annotation in coco["annotations"] if annotation["image_id"] == image["id"]]
    return [[x, y, x + w, y + h] for x, y, w, h in boxes]


def near(boxes):
    return [pytest.approx(list(box), abs=2e-3) for box in sorted(boxes)]  # files have 3 decimals


@ANY
def test_labelled_upright(films, tmp_path, write_labels, format, tolerance):
    coco, warnings = converted(films, write_labels(tmp_path, items(NINE)), tmp_path / "out")
    for sample in NINE:
        assert boxes_of(coco, sample) == near(sample.boxes), sample.name
    # where no size shows the frame of a turned film, it is said
    turned = {sample.name for sample in NINE if sample.orientation != 1 and sample.boxes}
    assert {warning.split(":")[0].split("/")[1] for warning in warnings} <= turned
    if format == "via":
        assert len(warnings) == len(turned)


@ANY
def test_labelled_as_stored(films, tmp_path, write_labels, format, tolerance):
    shown = [sample for sample in NINE if sample.orientation in (1, 5, 6, 7, 8)]  # where the size shows it
    if format in ("via", "yolo"):
        pytest.skip("declares no size")
    raw = items(shown, lambda sample: [raw_box(sample, box) for box in WHOLE[sample]], lambda sample: sample.stored)
    others = items([sample for sample in NINE if sample not in shown])
    coco, _ = converted(films, write_labels(tmp_path, raw + others), tmp_path / "out")
    for sample in shown:
        assert boxes_of(coco, sample) == near(WHOLE[sample]), sample.name

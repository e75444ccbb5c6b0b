#!/usr/bin/env python3
"""Make hard films with labels from ordinary ones: rotated, upside down, inverted, one hip, small, implant, badly exposed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipdet.cli.main import reports_errors
from hipdet.core.boxes import Boxes, as_boxes, turn_boxes
from hipdet.core.files import write_json
from hipdet.core.records import read_json
from hipdet.data.coco_file import Film, build_coco, get_films
from hipdet.radiographs.read import read_radiograph

EXAMPLES = """examples:
  benchmarks/hard_films.py FracAtlas/annotations/fold0_test.json --data-root FracAtlas --out hard/fold0
  hipdet test CONFIG WEIGHTS --data-root hard/fold0 --test-ann lying.json

benchmarks/hard_table.py makes these films and tests every model of hipdet cross-validate on them.
"""

Grey = NDArray[np.uint8]
Made = tuple[Grey, Boxes]  # [H, W] and [N, 4]
Change = Callable[[Grey, Boxes, int], Made]  # takes the film, its boxes and its number


def rotated(quarters: int) -> Change:
    """Rotate by `quarters` times 90 degrees counter-clockwise."""
    return lambda film, boxes, number: (np.rot90(film, quarters), turn_boxes(boxes, quarters, *film.shape[::-1]))


def inverted(film: Grey, boxes: Boxes, number: int) -> Made:
    """Invert the grey values: bone is black."""
    return 255 - film, boxes


def one_hip(film: Grey, boxes: Boxes, number: int) -> Made:
    """Cut between the hips; keep the left half of films with odd numbers, the right half of the others."""
    centre = (boxes[:, 0] + boxes[:, 2]) / 2
    cut = round(float(centre.mean()))
    if number % 2:
        return film[:, :cut], boxes[centre < cut]
    return film[:, cut:], boxes[centre >= cut] - [cut, 0, cut, 0]


def small(film: Grey, boxes: Boxes, number: int) -> Made:
    """Halve the size, as of a child, and put the result in the middle of a black film."""
    height, width = film.shape
    found = np.zeros_like(film)
    top, left = height // 4, width // 4
    half = cv2.resize(film, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    found[top : top + height // 2, left : left + width // 2] = half
    return found, boxes / 2 + [left, top, left, top]


def implant(film: Grey, boxes: Boxes, number: int) -> Made:
    """Draw a white hip prosthesis with head, neck and stem on one of the hips."""
    found, box = film.copy(), boxes[number % len(boxes)]
    centre, head = (box[:2] + box[2:]) / 2, (box[2] - box[0]) / 1.8
    outward = -1 if centre[0] < film.shape[1] / 2 else 1
    neck = centre + head * np.array([0.75 * outward, 0.6])
    tip = neck + head * np.array([-0.1 * outward, 2.6])
    white, points = int(film.max()), np.rint([centre, neck, tip]).astype(int).tolist()
    for start, end, thick in zip(points, points[1:], (0.3, 0.4)):
        cv2.line(found, start, end, white, max(1, round(head * thick)), cv2.LINE_AA)
    cv2.circle(found, points[0], round(head / 2), white, -1, cv2.LINE_AA)
    return found, boxes


def exposed(gain: float, offset: float) -> Change:
    """Multiply grey values by `gain` and add `offset`; values outside 0 to 255 are clipped."""
    return lambda film, boxes, number: (
        np.clip(film.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8),
        boxes,
    )


# file names use these keys: lying films are rotated by 90 degrees, burnt ones overexposed
KINDS: dict[str, Change] = dict(
    ordinary=exposed(1, 0), lying=rotated(1), upside_down=rotated(2), inverted=inverted, one_hip=one_hip, small=small,
    implant=implant, dark=exposed(1, -80), burnt=exposed(2.2, 0),
)  # fmt: skip


def make(film: Film, grey: Grey, kind: str, number: int, out: Path) -> Film:
    """Write one hard film; returns it with its ROIs."""
    found, boxes = KINDS[kind](grey, as_boxes([roi.box for roi in film.rois]), number)
    name = f"images/{kind}/{Path(film.file_name).stem}.png"
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(found)).save(out / name)
    rois = tuple(replace(film.rois[0], box=tuple(box)) for box in boxes.tolist())
    return replace(film, file_name=name, height=found.shape[0], width=found.shape[1], rois=rois)


def make_kinds(annotations: Path, data_root: Path, out: Path) -> int:
    """Write ``<kind>.json`` and ``images/<kind>/`` for every kind; returns the number of labelled films in the COCO file."""
    coco = read_json(annotations, "a COCO file")
    films = [film for film in get_films(coco) if film.rois and not film.ignored]
    made: dict[str, list[Film]] = {kind: [] for kind in KINDS}
    for number, film in enumerate(films):
        grey = read_radiograph(data_root / film.file_name)
        for kind, of_kind in made.items():
            of_kind.append(make(film, grey, kind, number, out))
    classes = [category["name"] for category in coco["categories"]]
    for kind, of_kind in made.items():
        write_json(out / f"{kind}.json", build_coco(of_kind, classes, dict(description=f"hard films: {kind}")))
    return len(films)


@reports_errors
def main() -> None:
    """Make the films and print their number."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path, help="COCO file")
    parser.add_argument("--data-root", type=Path, required=True, help="folder that the films' names are relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for films and <kind>.json")
    args = parser.parse_args()
    count = make_kinds(args.annotations, args.data_root, args.out)
    print(f"{count} films of {len(KINDS)} kinds: {args.out}")


if __name__ == "__main__":
    main()

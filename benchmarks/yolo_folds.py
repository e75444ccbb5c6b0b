#!/usr/bin/env python3
"""Train YOLO on the folds of hipdet cross-validate and score it as hipdet is scored, for the same table.

Ultralytics is AGPL-3.0 and not a dependency: its command line runs in an environment of its own, and none of it is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hipdet.cli.main import reports_errors
from hipdet.core.annotations import is_ignored
from hipdet.core.boxes import as_boxes, xywh_to_xyxy
from hipdet.core.errors import HipdetError
from hipdet.core.files import write_json, write_text
from hipdet.core.records import read_json
from hipdet.core.telemetry import SWITCHES
from hipdet.evaluation.matching import Detections, evaluate_film
from hipdet.evaluation.report import roi_rows, write_roi_table
from hipdet.radiographs.read import read_radiograph

EXAMPLES = """examples:
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json --out OUT
  python -m venv yolo; yolo/bin/pip install ultralytics
  benchmarks/yolo_folds.py OUT --data-root FracAtlas --yolo yolo/bin/yolo --epochs 300
  hipdet cross-validate configs/hip_roi_medium.py ... --out OUT       nothing is trained again; YOLO is in the table

The last epoch is the result, because the fold left out would choose Ultralytics' best.pt.  YOLO gets upright films as PNG.
"""

# Ultralytics reports each run, asks for newer versions and loads fonts; nothing listens at the proxy's address
NO_INTERNET = {
    "YOLO_OFFLINE": "true",
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
}


def write_films(coco: dict, data_root: Path, folder: Path) -> None:
    """Write films as upright PNG, ``images/<id>.png``, and labels as YOLO text, ``labels/<id>.txt``."""
    boxes: dict[int, list] = {}
    for annotation in coco["annotations"]:
        if not is_ignored(annotation):  # YOLO has no ignored boxes: they become background
            boxes.setdefault(annotation["image_id"], []).append(annotation["bbox"])
    for image in coco["images"]:
        picture = folder / f"images/{image['id']}.png"
        if not picture.exists():
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(read_radiograph(data_root / image["file_name"])).save(picture)
        sides = np.array([image["width"], image["height"]] * 2)
        corners = xywh_to_xyxy(boxes.get(image["id"], [])) / sides
        centre, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        lines = [" ".join(["0", *(f"{value:.6f}" for value in row)]) for row in np.hstack([centre, size])]
        write_text(folder / f"labels/{image['id']}.txt", "\n".join(lines) + "\n")


def train(args: argparse.Namespace, fold: Path) -> float:
    """Train from scratch; returns seconds."""
    data = dict(path=str(fold / "films"), train="train/images", val="test/images", names={0: "hip"})
    write_text(fold / "data.yaml", json.dumps(data))  # JSON is YAML
    settings = dict(
        model=f"{args.model}.yaml", pretrained=False, data=fold / "data.yaml", epochs=args.epochs, imgsz=args.side,
        seed=args.seed, device="cpu", val=False, plots=False, workers=2, project=fold, name="train", exist_ok=True,
    )  # fmt: skip
    start = time.time()
    run(args.yolo, "detect", "train", settings, fold / "train.log")
    return time.time() - start


def run(yolo: str, task: str, mode: str, settings: dict, log: Path) -> None:
    """Run one command of Ultralytics."""
    with log.open("w", encoding="utf-8") as file:
        command = [yolo, task, mode, *(f"{key}={value}" for key, value in settings.items())]
        environment = {**os.environ, **SWITCHES, **NO_INTERNET}
        if subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode:
            raise HipdetError(f"{yolo} {task} {mode} failed: its whole output is in {log}")


def score(args: argparse.Namespace, fold: Path, coco: dict) -> dict[str, float]:
    """Detect on the films left out and write ``test/test.roi.json``."""
    settings = dict(
        model=fold / "train/weights/last.pt", source=fold / "films/test/images", imgsz=args.side, conf=0.001, max_det=10,
        save=False, save_txt=True, save_conf=True, device="cpu", project=fold, name="predict", exist_ok=True,
    )  # fmt: skip
    run(args.yolo, "detect", "predict", settings, fold / "predict.log")
    rows, names = [], {category["id"]: category["name"] for category in coco["categories"]}
    for image in coco["images"]:
        truth = [a for a in coco["annotations"] if a["image_id"] == image["id"] and not is_ignored(a)]
        found = fold / f"predict/labels/{image['id']}.txt"
        values = np.loadtxt(found, ndmin=2) if found.is_file() else np.zeros((0, 6))
        centre, size = values[:, 1:3], values[:, 3:5]
        corners = np.hstack([centre - size / 2, centre + size / 2]) * ([image["width"], image["height"]] * 2)
        detections = Detections(as_boxes(corners), values[:, 5], np.zeros(len(values), np.int64))
        boxes = xywh_to_xyxy([annotation["bbox"] for annotation in truth])
        film = evaluate_film(boxes, np.zeros(len(boxes), np.int64), detections, args.rois)
        rows += roi_rows(image, truth, film, names)
    write_roi_table(str(fold / "test/test"), {}, rows, [])
    return dict(avg_iou=float(np.mean([row["iou"] for row in rows])), min_iou=min(row["iou"] for row in rows))


def do_fold(args: argparse.Namespace, number: int, test: Path) -> str:
    """Train and score a fold unless that is done; returns a line about it."""
    fold = (args.out / f"{args.model}_{args.side}" / f"fold{number}").resolve()
    if (fold / "record.json").is_file():
        return f"fold {number}: done before"
    parts = {}
    for part in ("train", "test"):
        file = test.with_name(test.name.replace("_test.json", f"_{part}.json"))
        parts[part] = read_json(file, "a part of hipdet cross-validate")
        write_films(parts[part], args.data_root, fold / "films" / part)
    seconds = train(args, fold)
    metrics = score(args, fold, parts["test"])
    write_json(fold / "record.json", dict(seconds=seconds, figures=metrics))
    return f"fold {number}: {metrics}, {seconds / 60:.1f} min"


@reports_errors
def main() -> None:
    """Train and score every fold."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="output folder of hipdet cross-validate")
    parser.add_argument("--data-root", type=Path, required=True, help="folder that the films' names are relative to")
    parser.add_argument("--yolo", default="yolo", help="Ultralytics' command (default: %(default)s)")
    parser.add_argument("--model", default="yolo11n", help="architecture, from scratch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, required=True, help="number of epochs, chosen for equal training time")
    parser.add_argument("--side", type=int, default=320, help="side of the network's input, px (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rois", type=int, default=2, help="detections taken per film (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings in parallel, on shared cores (default: 1)")
    args = parser.parse_args()
    tests = sorted((args.out / "folds").glob("*_test.json"))
    if not tests:
        raise HipdetError(f"{args.out}: found no folds/*_test.json: run hipdet cross-validate first")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.jobs)))
    with ThreadPoolExecutor(args.jobs) as pool:
        for line in pool.map(partial(do_fold, args), range(len(tests)), tests):
            print(line, flush=True)


if __name__ == "__main__":
    main()

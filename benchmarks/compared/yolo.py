"""Ultralytics' YOLO by its command line, in an environment of its own: it is AGPL-3.0, and none of it is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from compared.folds import Folds, Part
from compared.programs import Used, run
from compared.scores import write_table
from hipdet.core.annotations import is_ignored
from hipdet.core.boxes import Detections, as_boxes, xywh_to_xyxy
from hipdet.core.files import film_below, write_text
from hipdet.core.records import read_json
from hipdet.data.coco_file import Coco
from hipdet.radiographs.read import read_radiograph

BATCH = 8
LEAST_SCORE = 1e-5  # as good as none: the best boxes count whatever they score, as hipdet's
NMS = 0.3  # IoU, as in hipdet's configs: with Ultralytics' 0.7 both of the best two boxes may be of one hip


@dataclass(frozen=True)
class Yolo:
    """An architecture of Ultralytics, trained from scratch with its own augmentation and defaults.

    Attributes:
        folds: The films.
        command: Ultralytics' command.
        model: Name of the architecture, such as ``yolo11n``.
        side: Side of the network's input, px.
        seed: Seed of the training.
    """

    folds: Folds
    command: str
    model: str
    side: int
    seed: int = 0

    def settings(self) -> dict[str, object]:
        """Settings of the training that aren't Ultralytics' own."""
        return dict(
            model=f"{self.model}.yaml", pretrained=False, imgsz=self.side, seed=self.seed, device="cpu", workers=0,
            batch=BATCH, nbs=BATCH,  # gradients of 64 films would be accumulated: few steps on few films
            amp=False, val=False, patience=0, plots=False,  # the last epoch is the result
            **({"fliplr": 0.0} if self.folds.sided else {}),
        )  # fmt: skip

    def prepare(self, part: Part, folder: Path) -> None:
        """Write films and labels of `part` below `folder`, and their description."""
        for name, file in (("train", part.train), ("test", part.test)):
            write_films(read_json(file, "a part of hipdet"), self.folds.data_root, folder / "films" / name)
        first = sorted((folder / "films/train/images").iterdir())[0]
        write_text(folder / "films/val.txt", f"{first.resolve()}\n")  # Ultralytics validates once, whatever it is told
        names = dict(enumerate(self.folds.classes))
        films = (folder / "films").resolve()
        data = dict(path=str(films), train="train/images", val="val.txt", names=names)
        write_text(folder / "data.yaml", json.dumps(data))  # JSON is YAML

    def train(self, part: Part, folder: Path, epochs: int, probe: bool = False) -> Used:
        """Train in `folder`; a `probe` only measures epochs, which are all as most epochs of a long training."""
        where = dict(data=folder / "data.yaml", project=folder.resolve(), name="train", exist_ok=True)
        closed = dict(close_mosaic=0) if probe else {}
        return self._run("train", dict(self.settings(), epochs=epochs, **where, **closed), folder / "train.log")

    def test(self, part: Part, folder: Path) -> None:
        """Detect on the films that were left out, and score that: ``test/test.roi.json``."""
        settings = dict(
            model=folder / "train/weights/last.pt", source=folder / "films/test/images", imgsz=self.side, conf=LEAST_SCORE,
            iou=NMS, max_det=300, save=False, save_txt=True, save_conf=True, device="cpu", project=folder.resolve(),
            name="predict", exist_ok=True,
        )  # fmt: skip
        self._run("predict", settings, folder / "predict.log")
        images = read_json(part.test, "a part of hipdet")["images"]
        found = {image["id"]: read_found(folder / f"predict/labels/{image['id']}.txt", image) for image in images}
        write_table(part.test, self.folds.counts, found, folder / "test")

    def _run(self, mode: str, settings: Mapping[str, object], log: Path) -> Used:
        own = {"YOLO_CONFIG_DIR": str(log.parent.resolve())}  # else it writes its settings into the user's folder
        return run([self.command, "detect", mode, *(f"{key}={value}" for key, value in settings.items())], log, own)


def write_films(coco: Coco, data_root: Path, folder: Path) -> None:
    """Write films as upright PNG, ``images/<id>.png``, and labels as YOLO text, ``labels/<id>.txt``: class, then the box.

    Boxes are clipped to the film, else Ultralytics would leave the film out; ignored ones, which it doesn't know, become
    background.
    """
    index = {category["id"]: number for number, category in enumerate(coco["categories"])}
    for image in coco["images"]:
        picture = folder / f"images/{image['id']}.png"
        if not picture.exists():
            picture.parent.mkdir(parents=True, exist_ok=True)
            film = read_radiograph(film_below(data_root, image["file_name"], "a COCO file"))
            Image.fromarray(film).save(picture)
        own = [each for each in coco["annotations"] if each["image_id"] == image["id"] and not is_ignored(each)]
        corners = xywh_to_xyxy([each["bbox"] for each in own]) / ([image["width"], image["height"]] * 2)
        corners = corners.clip(0, 1)
        rows = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
        lines = [
            " ".join([str(index[each["category_id"]]), *(f"{value:.6f}" for value in row)])
            for each, row in zip(own, rows)
        ]
        write_text(folder / f"labels/{image['id']}.txt", "".join(f"{line}\n" for line in lines))


def read_found(path: Path, image: Mapping[str, int]) -> Detections:
    """Detections in the text file `path`: class, centre and size as shares of the film, score; no file, none."""
    values = np.loadtxt(path, ndmin=2) if path.is_file() and path.stat().st_size else np.zeros((0, 6))
    centre, size = values[:, 1:3], values[:, 3:5]
    corners = np.hstack([centre - size / 2, centre + size / 2]) * ([image["width"], image["height"]] * 2)
    return Detections(as_boxes(corners), values[:, 5], values[:, 0].astype(np.int64))

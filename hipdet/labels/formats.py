"""The formats of label files: how each is called, what its files are and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hipdet.labels.coco import read_coco
from hipdet.labels.cvat import read_cvat
from hipdet.labels.fault import Faults
from hipdet.labels.label_file import LabelFile
from hipdet.labels.label_studio import read_label_studio
from hipdet.labels.labelme import read_labelme
from hipdet.labels.options import LabelOptions
from hipdet.labels.plain_csv import read_csv
from hipdet.labels.record import FilmLabels
from hipdet.labels.via import read_via
from hipdet.labels.voc import read_voc
from hipdet.labels.yolo import read_yolo


@dataclass(frozen=True)
class LabelFormat:
    """One format: what its files end with, what they are (see LabelFile.kind) and their reader."""

    title: str
    suffixes: tuple[str, ...]
    kinds: tuple[str, ...]
    read: Callable[[Sequence[LabelFile], LabelOptions, Faults], list[FilmLabels]]


FORMATS = {
    "coco": LabelFormat("COCO JSON", (".json",), ("json",), read_coco),
    "voc": LabelFormat("Pascal VOC XML", (".xml",), ("xml",), read_voc),
    "labelme": LabelFormat("LabelMe JSON", (".json",), ("json",), read_labelme),
    "cvat": LabelFormat("CVAT XML", (".xml",), ("xml",), read_cvat),
    "labelstudio": LabelFormat("Label Studio JSON", (".json",), ("json",), read_label_studio),
    "via": LabelFormat("VIA JSON or CSV", (".json", ".csv"), ("json", "text"), read_via),
    "yolo": LabelFormat("YOLO txt", (".txt",), ("text",), read_yolo),
    "csv": LabelFormat("plain CSV", (".csv", ".tsv", ".txt"), ("text",), read_csv),
}

"""Folds that hipdet was trained and tested on: those of ``hipdet fit``, or of ``hipdet cross-validate``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hipdet.anchors.rois import Rois
from hipdet.anchors.second_look import PLANNED, square_fits
from hipdet.core.classes import Counts, sided_pairs
from hipdet.core.configs import read_settings
from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.records import read_json
from hipdet.data.coco_file import Coco
from hipdet.workflows.cross_validation import CONFIG
from hipdet.workflows.fit_metrics import TABLE

PART = re.compile(r"fold(\d+)_test\.json")
TABLE_OF_FOLD = f"test/{TABLE}"
EXPECTED = "a part of hipdet fit or hipdet cross-validate"


@dataclass(frozen=True)
class Part:
    """One fold: its number, and the COCO files of the films that are trained and tested on."""

    number: int
    train: Path
    test: Path


@dataclass(frozen=True)
class Folds:
    """All folds, and what hipdet was trained with.

    Attributes:
        data_root: Folder that the films' names are relative to.
        parts: The folds, by number.
        trained: The folder of each of hipdet's trainings, by name of the variant and number of the fold.
        evaluators: Metrics of hipdet's test, as its config has them.
    """

    data_root: Path
    parts: Mapping[int, Part]
    trained: Mapping[str, Mapping[int, Path]]
    evaluators: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, out: Path, data_root: Path | None = None) -> Folds:
        """Read the folder of a finished ``hipdet fit`` or ``hipdet cross-validate``.

        Args:
            out: Its ``--out``.
            data_root: Folder of the films; None for the copies of ``hipdet fit``.

        Raises:
            DatasetError: `out` is neither, or isn't finished.
        """
        if (out / "data").is_dir():
            root, files = data_root or out / "data", out / "data"
            trained = {"hipdet fit": out / "trainings"}
        elif (out / "folds").is_dir():
            if data_root is None:
                raise DatasetError(
                    f"{out}: of hipdet cross-validate, which has no films: give their folder, --data-root"
                )
            root, files = data_root, out / "folds"
            trained = {each.name: each for each in sorted(out.iterdir()) if (each / "fold0" / CONFIG).is_file()}
        else:
            raise DatasetError(f"{out}: found neither data nor folds, expected --out of hipdet fit or cross-validate")
        numbered = {int(found[1]): path for path in files.glob("*_test.json") if (found := PART.search(path.name))}
        parts = {
            number: Part(number, path.with_name(path.name.replace("_test.json", "_train.json")), path)
            for number, path in sorted(numbered.items())
        }
        folders = {name: {number: place / f"fold{number}" for number in parts} for name, place in trained.items()}
        finished = {
            name: own for name, own in folders.items() if all((each / TABLE_OF_FOLD).is_file() for each in own.values())
        }
        if not parts or not finished:
            raise DatasetError(f"{out}: found no folds with {TABLE_OF_FOLD}, expected finished ones: run hipdet again")
        first = next(iter(finished.values()))
        return cls(root, parts, finished, _evaluators(first[min(parts)] / CONFIG))

    @cached_property
    def coco(self) -> Coco:
        """All films that are tested on, with their labels."""
        found = [self.part(number) for number in self.parts]
        every: dict[str, list] = {
            key: [each for part in found for each in part[key]] for key in ("images", "annotations")
        }
        return dict(found[0], **every)

    def part(self, number: int) -> Coco:
        """The films of fold `number` that are tested on."""
        coco: Coco = read_json(self.parts[number].test, EXPECTED)
        return coco

    @property
    def classes(self) -> list[str]:
        """Names, in the order of the labels."""
        return [each["name"] for each in self.coco["categories"]]

    @property
    def sided(self) -> bool:
        """Whether classes swap in a mirror image, so that what can't swap them must not mirror."""
        return bool(sided_pairs(self.classes))

    @property
    def counts(self) -> Counts:
        """How many detections of a film hipdet's test takes, in total or by class."""
        for each in self.evaluators:
            if each["type"] == "RoiMetric":
                counts: Counts = each.get("rois_per_image", 2)
                return counts
        raise ConfigError(f"{self.data_root}: hipdet's config has no RoiMetric, expected one among its test_evaluator")

    @cached_property
    def square_classes(self) -> frozenset[str]:
        """Classes whose labels are squares, by the rule of hipdet's plan: mean IoU with the square of equal area."""
        fits = square_fits(Rois.of_coco(self.coco))
        return frozenset(name for name, fit in fits.items() if fit >= PLANNED)


def _evaluators(config: Path) -> list[Mapping[str, Any]]:
    try:
        found = read_settings(config.read_text(encoding="utf-8")).get("test_evaluator")
    except (ConfigError, OSError) as error:
        raise ConfigError(f"{config}: can't be read ({error}), expected a config that hipdet trained") from error
    return list(found) if isinstance(found, (list, tuple)) else [found] if found else []

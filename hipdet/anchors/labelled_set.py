"""ROIs as they lie on the disk: a COCO file and the folder of its films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hipdet.anchors.rois import Rois
from hipdet.coco.film_status import labelled
from hipdet.errors import DatasetError
from hipdet.validation import require_valid


@dataclass(frozen=True)
class LabelledSet:
    """The ROIs of a COCO file.

    Attributes:
        name: Of the file, without its extension.
        rois: Theirs.
        file_names: Of the films, relative to the data root.
        note: What to tell of films that were left out; empty where there are none.
    """

    name: str
    rois: Rois
    file_names: tuple[str, ...]
    note: str = ""

    @classmethod
    def read(cls, path: Path, unfinished: bool = False) -> LabelledSet:
        """Verify and read the file at `path`: the films that are labels, and with `unfinished` those that aren't yet.

        Raises:
            DatasetError: the list of its faults; a file without ROIs has one.
        """
        found = labelled(require_valid(path), path, unfinished)
        names = tuple(image["file_name"] for image in found.coco["images"])
        return cls(path.stem, Rois.of_coco(found.coco), names, str(found))

    def typical_film(self) -> int:
        """Index of the film whose ROIs are nearest to the median size, among those with the usual number of them."""
        per_film = np.bincount(self.rois.films, minlength=len(self.file_names))
        usual = np.bincount(per_film[per_film > 0]).argmax()
        mean = np.bincount(self.rois.films, weights=self.rois.sizes, minlength=len(self.file_names)) / np.maximum(
            per_film, 1
        )
        away = np.where(per_film == usual, np.abs(mean - np.median(self.rois.sizes)), np.inf)
        return int(away.argmin())


def read_sets(paths: Sequence[Path], unfinished: bool = False) -> list[LabelledSet]:
    """Every file, each under a name of its own, as :meth:`LabelledSet.read` has it.

    Raises:
        DatasetError: a faulty file, or two of the same name.
    """
    names = [path.stem for path in paths]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DatasetError(f"two files are called {twice.pop()}.json, expected names that differ: reports go by them")
    return [LabelledSet.read(path, unfinished) for path in paths]


def validation_beside(path: Path) -> Path | None:
    """``NAME_val.json`` beside ``NAME_train.json``, where it is."""
    beside = path.with_name(f"{path.stem[: -len('train')]}val.json")
    return beside if path.stem.endswith("_train") and beside.is_file() else None

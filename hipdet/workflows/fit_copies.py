"""Copies of the films of ``hipdet fit``, of the size that training needs, and COCO files of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hipdet.core.annotations import is_ignored
from hipdet.core.errors import raise_faults
from hipdet.core.files import path_below, write_json
from hipdet.core.stored_files import StoredFile
from hipdet.data.candidates import Candidate, Exclusion
from hipdet.data.coco_file import Coco, Film, build_coco, get_films, subset
from hipdet.data.copies import Copies, copy_films
from hipdet.radiographs.sniff import short_name
from hipdet.workflows.fit_data import FitData


@dataclass(frozen=True)
class TrainingFiles:
    """Copies of the films, of the size that training needs, and COCO files of them.

    Attributes:
        root: Folder that their names are relative to.
        coco: COCO dictionary of all copies; ids are those of the films.
    """

    root: Path
    coco: Coco

    @classmethod
    def write(cls, data: FitData, root: Path, side: int) -> TrainingFiles:
        """Copy the films below `root`, with a long side of `side` pixels; copies that are current are kept.

        Raises:
            DatasetError: the list of films that can't be decoded.
        """
        films = get_films(data.coco)
        pairs: list[tuple[Film, Candidate]] = []
        for film in films:
            file = StoredFile(film.file_name, path_below(data.options.films, film.file_name))
            pairs.append((film, Candidate(file, film.patient, short_name(film.file_name))))
        copies, faults = copy_films(pairs, Copies(root, side, workers=1 if len(films) < 50 else None))
        _refuse(data.options.films, faults)
        coco = build_coco([copy for copy, _ in copies], data.classes, data.coco["info"])
        _keep_ids(coco, data.coco)
        return cls(root, coco)

    def write_part(self, name: str, image_ids: Sequence[int] | None = None) -> Path:
        """Write the COCO file of these copies, all by default, and return its path."""
        path = self.root / f"{name}.json"
        write_json(path, self.coco if image_ids is None else subset(self.coco, image_ids))
        return path

    def others(self, image_ids: Sequence[int]) -> list[int]:
        """Ids of all images but these."""
        left = set(image_ids)
        return [image["id"] for image in self.coco["images"] if image["id"] not in left]


def _keep_ids(copies: Coco, films: Coco) -> None:
    """Give images and annotations of `copies` the ids that they have in `films`, of which they were made."""
    own = {place: image["id"] for place, image in enumerate(films["images"], 1)}
    place_of = {number: place for place, number in own.items()}
    # film by film, first ROIs, then ignored boxes; the sort is stable
    ordered = sorted(films["annotations"], key=lambda each: (place_of[each["image_id"]], is_ignored(each)))
    ids = iter([(each["image_id"], each["id"]) for each in ordered])
    for image in copies["images"]:
        image["id"] = own[image["id"]]
    for annotation in copies["annotations"]:
        annotation["image_id"], annotation["id"] = next(ids)


def _refuse(root: Path, faults: Sequence[Exclusion]) -> None:
    raise_faults(root, [f"{fault.name}: {fault.reason}" for fault in faults])

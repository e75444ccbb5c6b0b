"""Split COCO files into files of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hipdet.core.annotations import GUESSED, PATIENTS, SAID, mark_record, marks, patient_of, patients_mark
from hipdet.core.errors import DatasetError, raise_faults
from hipdet.core.files import is_file_name, name_of, native, write_json_files
from hipdet.core.records import shown
from hipdet.data.coco_file import Coco, append, subset
from hipdet.data.film_status import labelled
from hipdet.data.match import GROUP, PATIENT, read_film_table
from hipdet.data.split import Image, Partition, divide, find_leaks, fold_ids, given_folds
from hipdet.data.validate.check import require_valid

NO_LEAK = "no patient is on both sides of a split"


@dataclass(frozen=True)
class FoldTable:
    """A CSV table ``image,fold`` of given folds, which may cover more films than a data set.

    Attributes:
        path: The table.
        fold_of: Fold, as text, by name of the film.
        patient_of: Patient or group by name of the film, if the table has such a column.
        mark: What is known of patients: as in :func:`hipdet.core.annotations.get_mark`, ``guessed`` for groups.
    """

    path: Path
    fold_of: Mapping[str, str]
    patient_of: Mapping[str, str]
    mark: str

    @classmethod
    def read(cls, path: Path) -> FoldTable:
        """Read `path`; further columns are skipped.

        Raises:
            DatasetError: the list of its faults, such as a film or a patient in two folds.
        """
        rows = read_film_table(path, ["fold"])
        column = next((name for name in (PATIENT, GROUP) if name in rows[0][1].text), None)
        faults = []
        folds: dict[str, str] = {}
        patients: dict[str, str] = {}
        first: dict[str, tuple[str, str]] = {}  # film and fold of each patient
        for film, row in rows:
            if folds.setdefault(film, row.text["fold"]) != row.text["fold"]:
                faults.append(f"{row.place}: {film} is in fold {folds[film]}, too, expected one fold: remove one")
            if column and patients.setdefault(film, row.text[column]) != row.text[column]:
                faults.append(f"{row.place}: {film} is of {column} {patients[film]}, too, expected one: remove one")
            if column and row.text[column]:
                other, fold = first.setdefault(row.text[column], (film, row.text["fold"]))
                if fold != row.text["fold"]:
                    found = (
                        f"{column} {row.text[column]} is in fold {row.text['fold']}, and with {other} in fold {fold}"
                    )
                    faults.append(f"{row.place}: {found}: expected one fold")
        raise_faults(path, faults)
        return cls(path, folds, patients, GUESSED if column == GROUP else "")

    def divide(self, images: Iterable[Image]) -> tuple[dict[str, int], list[str]]:
        """The fold, from 0, of each film by ``file_name``, and a note on films of the table that aren't among `images`.

        Copies are found by the names of the films that they were made of.

        Raises:
            DatasetError: as :func:`hipdet.data.split.given_folds`.
        """
        films = {image["file_name"]: _original(image) for image in images}
        folds, skipped = given_folds(list(dict.fromkeys(films.values())), self.fold_of, self.path)
        fold_of = {name: folds[original] for name, original in films.items()}
        return fold_of, [f"{skipped} rows of {self.path.name} are for other films"] if skipped else []

    def with_patients(self, coco: Coco) -> Coco:
        """`coco` with the patients or groups of the table, where its own patients aren't known."""
        by_name = {name.rpartition("/")[2]: patient for name, patient in self.patient_of.items()}
        images = []
        for image, mark in zip(coco["images"], marks(coco)):
            name = _original(image)
            patient = self.patient_of.get(name) or by_name.get(name.rpartition("/")[2])
            if patient and (mark or not patient_of(image)):
                image, mark = {**image, "patient": patient}, self.mark
            images.append({**{key: each for key, each in image.items() if key != PATIENTS}, **mark_record(mark)})
        info = coco.get("info")
        kept = {key: each for key, each in info.items() if key != PATIENTS} if isinstance(info, Mapping) else {}
        return {**coco, "info": kept, "images": images} if self.patient_of else coco


def _original(image: Image) -> str:
    """Name of the film, or of the one of which it is a copy."""
    original = image.get("original")
    return original if isinstance(original, str) and original else str(image["file_name"])


@dataclass(frozen=True)
class Division:
    """How to split: into `folds`, or if that is None into training and parts of the given `fractions`.

    `fold_of` has the fold of each film by its name where folds are given, see :func:`hipdet.data.split.given_folds`.
    """

    fractions: Mapping[str, float] = field(default_factory=lambda: {"val": 0.1})
    folds: int | None = None
    seed: int = 0
    by: str = "patient"
    fold_of: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, images: Sequence[Image]) -> Partition:
        """The image ids of each part."""
        if self.folds is None:
            return divide(images, self.fractions, self.seed, self.by)
        everything = [image["id"] for image in images]
        if self.fold_of:
            folds = [[each["id"] for each in images if self.fold_of[each["file_name"]] == n] for n in range(self.folds)]
        else:
            folds = fold_ids(images, self.folds, self.seed, self.by)
        parts = {}
        for number, test in enumerate(folds):
            tested = set(test)
            parts[f"fold{number}_train"] = [image_id for image_id in everything if image_id not in tested]
            parts[f"fold{number}_test"] = test
        return Partition(parts)

    def sides(self) -> list[tuple[str, ...]]:
        """The parts that must not share a patient, for each split."""
        if self.folds is None:
            return [("train", *self.fractions)]
        return [(f"fold{number}_train", f"fold{number}_test") for number in range(self.folds)]

    def record(self, part: str, of: Any) -> dict[str, Any]:
        """What the ``info`` of a part says about the split; `of` is the name of the file, or a list of names."""
        how = dict(self.fractions) if self.folds is None else {"folds": self.folds}
        drawn = {"by": "table"} if self.fold_of else {"seed": self.seed, "by": self.by}
        return {"part": part, "of": of, **how, **drawn}


@dataclass(frozen=True)
class Parts:
    """The parts of one file, or of the union of all files, with notes and a sentence about leaks."""

    name: str
    files: dict[Path, Coco]
    notes: list[str]
    leak: str


def split_files(
    paths: Sequence[Path],
    division: Division,
    out: Path | None = None,
    merge: str | None = None,
    unfinished: bool = False,
    table: FoldTable | None = None,
) -> list[Parts]:
    """Write ``<stem>_<part>.json`` for each part of each file: either all of these files or none.

    Without `merge` each file is split separately; with it all together, so a patient in two files stays on one side.

    Args:
        paths: COCO files with different names.
        division: How to split.
        out: Folder to write to; None for the folder of each file.
        merge: Also write ``<merge>_<part>.json`` with that part of all files; ids are renumbered.
        unfinished: Also use films that their annotator hasn't finished (:mod:`hipdet.data.film_status`).
        table: Folds, instead of those that `division` would draw.

    Returns:
        The parts of each file, and with `merge` those of their union.

    Raises:
        DatasetError: faults of a file, equal names, different classes, a part without films, or as
            :func:`hipdet.data.split.divide` and :meth:`FoldTable.divide`.
    """
    if merge is not None and not is_file_name(merge):
        raise DatasetError(f"--merge {shown(merge)}: expected a name without folders, as files are named so")
    names = [*(path.stem for path in paths), *([merge] if merge else [])]
    if len(set(names)) < len(names):
        raise DatasetError(f"names are {', '.join(names)}, expected each once: rename a file, as parts are named so")
    found = {path: labelled(require_valid(path), path, unfinished) for path in paths}
    cocos = {path: each.coco for path, each in found.items()}
    if merge:
        _refuse_shared_films(cocos)
    skipped: list[str] = []
    if table is not None:
        cocos = {path: table.with_patients(coco) for path, coco in cocos.items()}
        fold_of, skipped = table.divide(image for coco in cocos.values() for image in coco["images"])
        division = replace(division, folds=len({*fold_of.values()}), fold_of=fold_of)
    partitions = (
        _together(cocos, division) if merge else {path: division(coco["images"]) for path, coco in cocos.items()}
    )
    unknown = [path.name for path, coco in cocos.items() if patients_mark(coco)]
    made: list[Parts] = []
    merged: dict[str, Coco] = {}
    for path, coco in cocos.items():
        parts: dict[str, Coco] = {}
        for part, image_ids in partitions[path].parts.items():
            parts[part] = subset(coco, image_ids)
            info = parts[part].get("info")
            kept = info if isinstance(info, Mapping) else {}
            parts[part]["info"] = {**kept, "split": division.record(part, name_of(path.name))}
            if merge:
                whole = merged.setdefault(part, dict(info={}, images=[], annotations=[], categories=[]))
                append(whole, parts[part], str(path))
        notes = [*filter(None, [str(found[path])]), *partitions[path].notes, *skipped]
        made.append(_parts(path.stem, out or path.parent, parts, notes, division))
    if merge:
        for part, coco in merged.items():
            split = division.record(part, [name_of(each.name) for each in paths])
            coco["info"] = {**mark_record(patients_mark(coco)), "split": split}
        notes = [f"patients of {', '.join(unknown)} aren't known"] if unknown else []
        made.append(_parts(native(merge), out or paths[0].parent, merged, notes, division))
    write_json_files({path: coco for each in made for path, coco in each.files.items()})
    return made


def _refuse_shared_films(cocos: Mapping[Path, Coco]) -> None:
    """Refuse a film that is in several files: their union would have it twice, which training refuses."""
    first: dict[str, Path] = {}
    for path, coco in cocos.items():
        for image in coco["images"]:
            other = first.setdefault(image["file_name"], path)
            if other != path:
                raise DatasetError(
                    f"{image['file_name']} is in {other} and {path}, expected each film once: remove one"
                )


def _together(cocos: Mapping[Path, Coco], division: Division) -> dict[Path, Partition]:
    """Split the images of all files together; returns the partition of each file."""
    owners = [(path, image) for path, coco in cocos.items() for image in coco["images"]]
    whole = division([{**image, "id": number} for number, (_, image) in enumerate(owners)])
    found = {path: Partition({part: [] for part in whole.parts}, whole.notes) for path in cocos}
    for part, numbers in whole.parts.items():
        for number in numbers:
            path, image = owners[number]
            found[path].parts[part].append(image["id"])
    return found


def _parts(name: str, folder: Path, parts: Mapping[str, Coco], notes: list[str], division: Division) -> Parts:
    empty = [part for part, coco in parts.items() if not coco["images"]]
    if empty:
        raise DatasetError(f"{name}_{empty[0]} would have no films, expected at least one: choose larger parts")
    files = {folder / f"{name}_{part}.json": coco for part, coco in parts.items()}
    without = [path.name for path, coco in files.items() if not coco["annotations"]]
    hint = "so training and tests will refuse it: choose another seed or larger parts"
    notes = [*notes, *(f"{each} has no ROI, {hint}" for each in without)]
    return Parts(name, files, notes, _leak_line(parts, division))


def _leak_line(parts: Mapping[str, Coco], division: Division) -> str:
    patients = without = 0
    for side in division.sides():
        leaks = find_leaks({part: parts[part]["images"] for part in side})
        patients += len(leaks.patients)
        without += leaks.without_patient
    said = {patients_mark(coco) for coco in parts.values()}
    if patients:
        units = "patients or groups" if GUESSED in said else "patients"
        return f"{patients} {units} are on both sides of a split: metrics will be too optimistic"
    if mark := next((mark for mark in SAID if mark in said), ""):
        return SAID[mark]
    return "some films have no patient: a leak can't be ruled out" if without else NO_LEAK

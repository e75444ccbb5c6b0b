"""The data of ``hipdet fit``: films, labels, what films lack, and folds; then copies of the size that training needs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hipdet.core.annotations import GUESSED, UNKNOWN, is_ignored, patients_mark
from hipdet.core.errors import DatasetError, raise_faults
from hipdet.core.files import path_below, write_json
from hipdet.core.records import read_json
from hipdet.core.stored_files import StoredFile
from hipdet.data.candidates import Candidate, Exclusion, Rules
from hipdet.data.coco_file import Coco, Film, build_coco, get_films, subset
from hipdet.data.convert import Conversion, Output, convert_found, reasons
from hipdet.data.copies import Copies, copy_films
from hipdet.data.sources.folder import find_folder
from hipdet.data.split import divide
from hipdet.data.split_files import Division, FoldTable
from hipdet.data.statistics import table1
from hipdet.data.validate.check import validate
from hipdet.radiographs.sniff import short_name
from hipdet.workflows.fit_labels import UNNAMED, FitLabels, find_films

SOURCE = "fit"
FEWEST_FILMS = 10  # with an ROI: with fewer, neither folds nor metrics mean anything
FEWEST_OF_CLASS = 3  # patients with an ROI of a class: two to train on wherever one is left out
SHOWN = 5
DRAWS = 50  # of folds, until each has an ROI to test on, and all classes to train on
KNOWN, ABSENT = "known", "absent"


@dataclass(frozen=True)
class DataOptions:
    """What the user says about the data; see ``hipdet fit --help``.

    Attributes:
        films: Folder of films.
        labels: Label file or folder by name of the annotator.
        format: Format of the labels; None if it is to be detected.
        classes: Class names; empty for those of the labels.
        patients: ``--patients``; None if it wasn't given.
        folds: Table of given folds, or a number of folds; None to let the budget decide.
        absent: Whether films lack what isn't labelled on them: ``known`` or ``unknown``.
        ignore: CSV table of boxes that are neither ROI nor background.
        negative: Whether films that no label file names have no ROI; if not, they are left out.
        seed: Seed of the folds.
        skip_faulty: Leave out films that can't be used, with the fault as the reason, instead of refusing.
        exclude: CSV table ``film,reason`` of films to leave out.
    """

    films: Path
    labels: Mapping[str, Path]
    format: str | None = None
    classes: tuple[str, ...] = ()
    patients: str | None = None
    folds: Path | int | None = None
    absent: str = KNOWN
    negative: bool = False
    seed: int = 0
    skip_faulty: bool = False
    ignore: Path | None = None
    exclude: Path | None = None


@dataclass(frozen=True)
class FitData:
    """Data that can be trained on; nothing of it is written yet.

    Attributes:
        options: What the user said.
        conversion: What the conversion found, for reports.
        coco: COCO dictionary of the films, in their own pixels.
        warnings: What is unlikely in the labels and should be looked at.
        unlabelled: Names of the films that were left out because no label file names them.
        notes: Sentences for the report.
        fold_of: Given fold of each film; empty if folds are to be drawn.
    """

    options: DataOptions
    conversion: Conversion
    coco: Coco
    warnings: tuple[str, ...]
    unlabelled: tuple[str, ...]
    notes: tuple[str, ...]
    fold_of: Mapping[str, int]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their ids."""
        return [category["name"] for category in self.coco["categories"]]

    @cached_property
    def patients(self) -> int:
        """Number of patients, or of groups of films that are treated as one."""
        return len({image["patient"] for image in self.coco["images"]})

    def lacking(self) -> dict[str, int]:
        """For each class, the number of films without a box of it."""
        having = _films_with(self.coco)
        return {name: len(self.coco["images"]) - len(having[name]) for name in self.classes}

    def folds(self, count: int) -> list[list[int]]:
        """Image ids that each of `count` folds leaves out; films of a patient share a fold.

        Raises:
            DatasetError: a fold would have no ROI to test on, or not all classes to train on.
        """
        for seed in range(self.options.seed, self.options.seed + (1 if self.fold_of else DRAWS)):
            division = Division(folds=count, seed=seed, fold_of=self.fold_of)
            parts = division(self.coco["images"]).parts
            folds = [parts[f"fold{number}_test"] for number in range(count)]
            fault = next(filter(None, (self._fold_fault(number, fold) for number, fold in enumerate(folds))), "")
            if not fault:
                return folds
        raise DatasetError(f"{count} folds: {fault}: label more films, or give other folds with --folds")

    def _fold_fault(self, number: int, fold: Sequence[int]) -> str:
        left_out = set(fold)
        having = {name: ids - left_out for name, ids in _films_with(self.coco).items()}
        if missing := [name for name in self.classes if not having.get(name)]:
            return f"all films with {missing[0]!r} are in fold {number}, so none is left to train on"
        if not any(ids & left_out for ids in _films_with(self.coco).values()):
            return f"fold {number} has no ROI to test on"
        return ""

    def halves(self) -> tuple[list[int], list[int]] | None:
        """Image ids of two halves of the films, by patient; None where a half would lack a class or have no ROI."""
        for seed in range(self.options.seed, self.options.seed + DRAWS):
            parts = divide(self.coco["images"], {"test": 0.5}, seed).parts
            if parts.get("test") and not self._fold_fault(0, parts["test"]):
                return parts["train"], parts["test"]
        return None

    def text(self) -> str:
        """Table 1 and what is special, for the terminal."""
        path, excluded = Path(self.options.films.name), self.conversion.exclusions
        lines = [table1({path: self.conversion.summary})]
        for name, count in self.lacking().items():
            if count:
                said = "it isn't known whether they have one" if self.options.absent != KNOWN else "they lack it"
                lines.append(f"{count} films without {name!r}: {said}")
        lines += [f"{count} films left out: {reason}" for reason, count in reasons(excluded)]
        mark = patients_mark(self.coco)
        lines += ["patients unknown: near duplicates are kept together"] if mark == UNKNOWN else []
        if pairs := self.conversion.duplicates:
            lines.append(f"{len(pairs)} pairs of near duplicates, the closest {pairs[0].first} and {pairs[0].second}")
        lines += [*self.notes, *(f"warning: {warning}" for warning in self.warnings[:SHOWN])]
        if len(self.warnings) > SHOWN:
            lines.append(f"... and {len(self.warnings) - SHOWN} more warnings in the report")
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """What reports say about the data."""
        mark = patients_mark(self.coco)
        boxes = Counter(each["category_id"] for each in self.coco["annotations"] if not is_ignored(each))
        return dict(
            **self.conversion.summary.record(),
            classes=self.classes,
            rois_of_class={each["name"]: boxes[each["id"]] for each in self.coco["categories"]},
            films_without=self.lacking(),
            absent=self.options.absent,
            patients_known=not mark,
            patients_said=mark,
            ignored=sum(map(is_ignored, self.coco["annotations"])),
            unlabelled=list(self.unlabelled),
            excluded=[[each.name, each.reason] for each in self.conversion.exclusions],
            near_duplicates=[[each.first, each.second] for each in self.conversion.duplicates],
            warnings=list(self.warnings),
            notes=list(self.notes),
        )


def _films_with(coco: Coco) -> dict[str, set[int]]:
    """Image ids of the films that have an ROI, by class."""
    names = {each["id"]: each["name"] for each in coco["categories"]}
    found: dict[str, set[int]] = defaultdict(set)
    for each in coco["annotations"]:
        if not is_ignored(each):
            found[names[each["category_id"]]].add(each["image_id"])
    return found


def read_data(options: DataOptions, scratch: Path) -> FitData:
    """Find films, read and check labels and patients.

    Args:
        options: What the user says about the data.
        scratch: Empty folder for what the conversion writes.

    Raises:
        DatasetError: films or labels that can't be trained on; the message lists all faults of a kind.
    """
    find = partial(find_folder, options.films, SOURCE, exclude=options.exclude, skip_faulty=options.skip_faulty)
    found, notes = find_films(find, options.labels.values(), options.patients, options.folds)
    unnamed = "" if options.classes else UNNAMED
    others = found.candidates if options.negative else ()
    labels = FitLabels(dict(options.labels), dict(format=options.format), options.ignore, unnamed, others)
    rules = Rules(SOURCE, classes=options.classes, rois=None)
    output = Output(
        options.films,
        annotations=scratch,
        skip_faulty=options.skip_faulty,
        near_duplicates=found.mark == UNKNOWN,
    )
    noted = dict(absent=options.absent, unlabelled="negative" if options.negative else "left out")
    conversion = convert_found(options.films, found, labels, rules, output, noted)
    coco = read_json(conversion.path, "a COCO file")
    faults = validate(conversion.path)[1]
    raise_faults(options.films, [str(fault) for fault in faults if not fault.warning])
    if options.absent != KNOWN:
        coco, more = _with_unknown(coco)
        notes += more
    data = FitData(
        options=options,
        conversion=conversion,
        coco=coco,
        warnings=(*conversion.warnings, *(str(fault) for fault in faults)),
        unlabelled=tuple(each.name for each in conversion.exclusions if each.reason == "not labelled"),
        notes=tuple(notes),
        fold_of={},
    )
    _require_enough(data)
    return _with_folds(data)


def _with_unknown(coco: Coco) -> tuple[Coco, list[str]]:
    """Where a class isn't labelled on a film, an ignored box of the whole film: no detection there is wrong.

    Films without any box say nothing, and are left out.
    """
    having = _films_with(coco)
    labelled = set().union(*having.values())
    coco = subset(coco, labelled)
    for image in coco["images"]:
        missing = [each for each in coco["categories"] if image["id"] not in having[each["name"]]]
        if missing:
            image[ABSENT] = "unknown"
        for category in missing:
            size = image["width"], image["height"]
            number = max((each["id"] for each in coco["annotations"]), default=0) + 1
            box = dict(bbox=[0.0, 0.0, float(size[0]), float(size[1])], area=float(size[0] * size[1]), iscrowd=1)
            coco["annotations"].append(dict(id=number, image_id=image["id"], category_id=category["id"], **box))
    return coco, ["films may have ROIs that aren't labelled (--absent unknown): nothing is learnt from what is missing"]


def _require_enough(data: FitData) -> None:
    """Check that there is something to train and to test on.

    Raises:
        DatasetError: too few films or patients, of any class.
    """
    place, having = data.options.films, _films_with(data.coco)
    patient = {image["id"]: image["patient"] for image in data.coco["images"]}
    films = set().union(*having.values()) if having else set()
    if len(films) < FEWEST_FILMS:
        raise DatasetError(
            f"{place}: {len(films)} films with an ROI, expected {FEWEST_FILMS} or more: label more films"
        )
    known = not patients_mark(data.coco)
    for name in data.classes:
        whose = {patient[film] for film in having[name]}
        if len(whose) < FEWEST_OF_CLASS:
            unit = "patients" if known else "films that aren't near duplicates"
            raise DatasetError(
                f"{place}: {name!r} is on films of {len(whose)} {unit}, expected {FEWEST_OF_CLASS} or more, as some are "
                f"left out to test on: label more films, leave the class out with --classes, or check --patients"
            )


def _with_folds(data: FitData) -> FitData:
    """`data` with the folds of the table, if one is given; a number is checked."""
    folds, notes = data.options.folds, list(data.notes)
    if isinstance(folds, Path):
        fold_of, more = FoldTable.read(folds).divide(data.coco["images"])
        notes += more
        data = replace(data, fold_of=fold_of, notes=tuple(notes))
        _require_whole_patients(data, folds)
        data.folds(len(set(fold_of.values())))
    elif folds is not None:
        data.folds(folds)
    else:
        data.folds(min(3, data.patients))
    return data


def _require_whole_patients(data: FitData, table: Path) -> None:
    folds: dict[str, dict[int, str]] = defaultdict(dict)
    if patients_mark(data.coco) in (UNKNOWN, GUESSED):
        return
    for image in data.coco["images"]:
        folds[image["patient"]].setdefault(data.fold_of[image["file_name"]], image["file_name"])
    split = [
        f"patient {patient} is in {len(where)} folds ({', '.join(where.values())}), expected one"
        for patient, where in folds.items()
        if len(where) > 1
    ]
    raise_faults(table, split)


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

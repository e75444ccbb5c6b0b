"""Convert any data set of films and label files: collect (:mod:`hipdet.data.collect`), copy, write and report.

Beside the annotations, it writes tables of exclusions, of the annotators' agreement and of near duplicates, and the
provenance: inputs, options, counts and the paper's Table 1, without paths of this machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hipdet.core.annotations import UNKNOWN, mark_record
from hipdet.core.errors import DatasetError, one_line, raise_faults
from hipdet.core.files import is_file_name, name_of, native, write_csv, write_json
from hipdet.core.records import shown
from hipdet.data.annotators import Agreement
from hipdet.data.candidates import HIP, Candidate, Exclusion, Found, Rules
from hipdet.data.coco_file import Film, build_coco
from hipdet.data.collect import LABEL_FILE, Collected, LabelSource, collect
from hipdet.data.formats.reader import FORMATS, label_files_below
from hipdet.data.statistics import Summary, table1
from hipdet.version import __version__

if TYPE_CHECKING:
    from hipdet.data.copies import Copies, NearDuplicate


@dataclass(frozen=True)
class Output:
    """What a conversion writes, and where.

    Attributes:
        data_root: Folder that file names in the annotations are relative to.
        annotations: Folder of the annotations; None for ``data_root/annotations``.
        copies: Copies to train on; None to train on the films in place.
        skip_faulty: Exclude films that can't be converted, with the fault as the reason, instead of refusing.
        near_duplicates: Decode all films, report near duplicates and treat them as one patient.
    """

    data_root: Path
    annotations: Path | None = None
    copies: Copies | None = None
    skip_faulty: bool = False
    near_duplicates: bool = False

    @property
    def folder(self) -> Path:
        """Folder of the annotations."""
        return self.annotations or self.data_root / "annotations"


@dataclass(frozen=True)
class Conversion:
    """What was written, and what the report says; `summary` is of the films before copying, `mark` as in Found."""

    path: Path
    films: list[Film]
    summary: Summary
    exclusions: tuple[Exclusion, ...]
    agreements: tuple[Agreement, ...]
    duplicates: tuple[NearDuplicate, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    mark: str = ""
    files: list[Path] = field(default_factory=list)


def reasons(exclusions: Iterable[Exclusion]) -> list[tuple[str, int]]:
    """Reasons and their number of films, the most frequent first; details that differ between films are left out."""
    count = Counter(each.reason.partition(":")[0].partition(",")[0] for each in exclusions)
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))


def write_conversion(conversion: Conversion, record: dict[str, Any], rules: Rules) -> None:
    """Write all files, the annotations last; tables without rows aren't written, except that of exclusions.

    Args:
        conversion: The conversion; the paths are added to its `files`.
        record: Content of the provenance file.
        rules: Rules with the name of the data set and its classes.
    """
    base = conversion.path.with_suffix("")
    exclusions = [[each.name, each.reason] for each in conversion.exclusions]
    agreement = [
        [a.film, a.label, a.first, a.second, f"{a.iou:.4f}", _shown(a.first_box), _shown(a.second_box)]
        for a in conversion.agreements
    ]
    duplicates = [[each.first, each.second, f"{each.distance:.4f}"] for each in conversion.duplicates]
    tables: dict[str, tuple[str, Sequence[Sequence[object]]]] = {
        "exclusions": ("film,reason", exclusions),
        "agreement": ("film,label,first,second,iou,first_box,second_box", agreement),
        "near_duplicates": ("first,second,distance", duplicates),
    }
    for name, (header, rows) in tables.items():
        path = base.with_name(f"{base.name}.{name}.csv")
        if rows or name == "exclusions":
            write_csv(path, [header.split(","), *rows])
            conversion.files.append(path)
        else:
            path.unlink(missing_ok=True)  # from an earlier run
    path = base.with_name(f"{base.name}.provenance.json")
    write_json(path, record)
    description = f"{rules.source}: boxes in the upright frame, 0-based"
    info = {"description": description, "provenance": name_of(path.name), **mark_record(conversion.mark)}
    classes = rules.classes or sorted({roi.label for film in conversion.films for roi in (*film.rois, *film.ignored)})
    write_json(conversion.path, build_coco(conversion.films, classes, info))
    conversion.files.extend([path, conversion.path])


def _shown(box: tuple[float, ...] | None) -> str:
    return " ".join(f"{edge:.2f}" for edge in box) if box else ""


def provenance(
    root: Path, conversion: Conversion, labels: LabelSource, tables: Mapping[str, Path], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The provenance of a conversion: the same inputs give the same record, on any machine and at any time."""
    ious = [row.iou for row in conversion.agreements]
    record: dict[str, Any] = {
        "hipdet": __version__,
        "options": dict(options),
        "labels": [
            {"annotator": name, "path": _neutral(path, root), **checksum(path)} for name, path in labels.paths.items()
        ],
        **({"tables": [_table_record(*each, root) for each in tables.items()]} if tables else {}),
        **conversion.summary.record(),
        "excluded": dict(reasons(conversion.exclusions)),
        "notes": list(conversion.notes),
        "warnings": list(conversion.warnings),
    }
    if ious:
        mean, least = round(sum(ious) / len(ious), 4), round(min(ious), 4)
        record["agreement"] = {"rois": len(ious), "mean_iou": mean, "min_iou": least}
    return record


def _table_record(option: str, path: Path, root: Path) -> dict[str, Any]:
    return {"option": option, "path": _neutral(path, root), **checksum(path)}


def _neutral(path: Path, root: Path) -> str:
    """`path` relative to the data set, or else its last part: no other folder of this machine."""
    try:
        return name_of(str(path.resolve().relative_to(root.resolve())))
    except ValueError:
        return name_of(path.name)


def checksum(path: Path) -> dict[str, Any]:
    """The number of label files, and one SHA-256 of their names and contents."""
    if path.is_file():
        return {"files": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    total = hashlib.sha256()
    files = label_files_below(path, sorted({suffix for each in FORMATS.values() for suffix in each.suffixes}))
    for file in files:
        total.update(name_of(str(file.relative_to(path))).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return {"files": len(files), "sha256": total.hexdigest()}


Films = list[tuple[Film, Candidate]]


def convert_found(
    root: Path, found: Found, labels: LabelSource, rules: Rules, output: Output, options: Mapping[str, Any]
) -> Conversion:
    """Convert the films of `found` and write ``<source>.json`` with its reports.

    The annotations are written last: if they exist, so does everything else.

    Args:
        root: Folder of the data set; names in `found` are relative to it.
        found: Result of the data set's finder.
        labels: Label files.
        rules: Rules of the data set.
        output: What to write, and where.
        options: The user's options for the provenance file, without paths.

    Raises:
        DatasetError: no film is left, or the list of films that can't be converted.
    """
    if not is_file_name(rules.source):
        raise DatasetError(f"--source {shown(rules.source)}: expected a name without folders, as files are named so")
    if output.copies is None:
        _require_films_as_they_are(found.candidates)
    collected = collect(found, labels, rules, output.skip_faulty)
    films, faults = collected.films, collected.faults
    _refuse(root, faults, output)  # before the steps that take long
    pairs: list[NearDuplicate] = []
    if output.near_duplicates:
        from hipdet.data.copies import join_near_duplicates

        films, pairs, undecodable = join_near_duplicates(films)
        faults += undecodable
    originals = {candidate.name: film for film, candidate in films}
    if output.copies is None:
        films = _in_place(films, root, output.data_root)
    else:
        from hipdet.data.copies import copy_films

        films, undecodable = copy_films(films, output.copies)
        faults += undecodable
    _refuse(root, faults, output)
    exclusions = tuple(sorted({*collected.exclusions, *faults}))
    if not films:
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons(exclusions)[:5]) or "no films were found"
        raise DatasetError(f"{root}: no film is left to convert, expected at least one: {listed}")
    conversion = Conversion(
        path=output.folder / native(f"{rules.source}.json"),
        films=[film for film, _ in films],
        summary=Summary.of([originals[candidate.name] for _, candidate in films]),
        exclusions=exclusions,
        agreements=tuple(collected.agreements),
        duplicates=tuple(pairs),
        warnings=(*_unused(collected, rules), *collected.warnings),
        notes=found.notes,
        mark=found.mark,
    )
    write_conversion(conversion, provenance(root, conversion, labels, found.tables, options), rules)
    return conversion


def _unused(collected: Collected, rules: Rules) -> list[str]:
    """Warnings of classes without a box and of renamed labels that don't occur: a typing error, perhaps."""
    boxes = {roi.label for film, _ in collected.films for roi in (*film.rois, *film.ignored)}
    found = ", ".join(sorted(collected.labels)) or "none"
    return [
        *(
            f"class {shown(name)} has no box: labels in the files are {found}"
            for name in rules.classes
            if name not in boxes
        ),
        *(
            f"--rename {shown(name)}: no box has this label, labels in the files are {found}"
            for name in rules.rename
            if name not in collected.labels
        ),
    ]


def convert_listed(found: Found, table: Path, source: str, ignore: Path | None = None, label: str = HIP) -> list[Film]:
    """The films of `found`, in its order, with the ROIs of a hip table; for data sets that are written in parts.

    Args:
        found: The films.
        table: The hip table.
        source: Name of the data set.
        ignore: Table of boxes to ignore.
        label: Class of the ROIs.

    Raises:
        DatasetError: the list of damaged films, and of boxes outside their film.
    """
    labels = LabelSource({"": table}, {"format": "hips"}, ignore)
    collected = collect(found, labels, Rules(source, classes=(label,), rois=None))
    raise_faults(table, [f"{fault.name}: {fault.reason}" for fault in collected.faults])
    # one table labels all films, so image records don't name it
    film_of = {
        candidate.name: replace(film, extra={key: said for key, said in film.extra.items() if key != LABEL_FILE})
        for film, candidate in collected.films
    }
    return [film_of[each.name] for each in found.candidates]


def _refuse(root: Path, faults: Sequence[Exclusion], output: Output) -> None:
    if not output.skip_faulty:
        hint = "fix them, or leave these films out with --skip-faulty"
        raise_faults(f"{root} ({hint})", [f"{fault.name}: {fault.reason}" for fault in faults])


def _require_films_as_they_are(candidates: Sequence[Candidate]) -> None:
    """Refuse films that need copies: without copies, training reads the films in place and unchanged."""
    packed = [candidate.shown for candidate in candidates if candidate.file.member is not None]
    if packed:
        raise DatasetError(
            f"{packed[0]} and {len(packed) - 1} more films are inside zips, where training can't read them: add "
            f"--copies upright or --copies 448"
        )
    if any(candidate.crop != (0, 0) for candidate in candidates):
        raise DatasetError("films can be cropped only in copies: add --copies upright or --copies 448")


def _in_place(films: Films, root: Path, data_root: Path) -> Films:
    try:
        prefix = PurePosixPath(name_of(str(root.resolve().relative_to(data_root.resolve()))))
    except ValueError as error:
        raise DatasetError(f"{root} is not below the data root {data_root}: move it there, or add --copies") from error
    return [(replace(film, file_name=(prefix / film.file_name).as_posix()), candidate) for film, candidate in films]


SHOWN = 5


def report(conversion: Conversion) -> str:
    """The report for the user: Table 1, then what was left out and what should be checked."""
    lines = table1({conversion.path: conversion.summary}).split("\n")
    if conversion.exclusions:
        lines.append(f"{len(conversion.exclusions)} films excluded:")
        lines += [f"  {count:6}  {reason}" for reason, count in reasons(conversion.exclusions)]
    none = sum(not film.rois for film in conversion.films)
    if none:
        lines.append(f"{none} films are recorded as having no ROI: training uses them as background")
    if conversion.mark == UNKNOWN:
        lines.append(
            "patients aren't known, so each film counts as one: give the patients with --table or --patient-from"
        )
    lines += conversion.notes
    if ignored := sum(len(film.ignored) for film in conversion.films):
        lines.append(f"{ignored} boxes to ignore: neither ROI nor background")
    if over := sum(roi.square is not None for film in conversion.films for roi in film.rois):
        lines.append(f"{over} squares reach over the edge of their film: they are learnt so, and tested clipped")
    if conversion.agreements:
        ious = [row.iou for row in conversion.agreements]
        worst = conversion.agreements[0]
        lines.append(
            f"annotators: {len({row.film for row in conversion.agreements})} films labelled by several, "
            f"mean IoU {sum(ious) / len(ious):.3f}, lowest {worst.iou:.3f} ({worst.film})"
        )
    if pairs := conversion.duplicates:
        lines.append(f"{len(pairs)} pairs of near duplicates, the closest {pairs[0].first} and {pairs[0].second}")
    lines += [f"warning: {text}" for text in conversion.warnings[:SHOWN]]
    if len(conversion.warnings) > SHOWN:
        lines.append(f"... and {len(conversion.warnings) - SHOWN} more warnings in the provenance file")
    lines.append("written: " + ", ".join(path.name for path in conversion.files) + f" in {conversion.path.parent}")
    return "\n".join(map(one_line, lines))

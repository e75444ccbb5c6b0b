"""The files of a conversion: annotations, exclusions, agreement of annotators, near duplicates, provenance."""

from __future__ import annotations

from typing import Any

from hipdet.coco.build import build_coco
from hipdet.coco.patients import UNKNOWN_PATIENTS
from hipdet.collection.conversion import Conversion
from hipdet.collection.rules import Rules
from hipdet.files import write_csv, write_json


def write_conversion(conversion: Conversion, record: dict[str, Any], rules: Rules) -> None:
    """Write all files, the annotations last; tables without rows aren't written, but for that of exclusions.

    Args:
        conversion: Its `files` get the paths.
        record: Of the provenance.
        rules: Give name and classes.
    """
    base = conversion.path.with_suffix("")
    tables: dict[str, tuple[list[str], list[list[object]]]] = {
        "exclusions": (["film", "reason"], [[each.name, each.reason] for each in conversion.exclusions]),
        "agreement": (
            ["film", "label", "first", "second", "iou", "first_box", "second_box"],
            [
                [a.film, a.label, a.first, a.second, f"{a.iou:.4f}", _shown(a.first_box), _shown(a.second_box)]
                for a in conversion.agreements
            ],
        ),
        "near_duplicates": (
            ["first", "second", "distance"], [[d.first, d.second, f"{d.distance:.4f}"] for d in conversion.duplicates]
        ),
    }  # fmt: skip
    for name, (header, rows) in tables.items():
        path = base.with_name(f"{base.name}.{name}.csv")
        if rows or name == "exclusions":
            write_csv(path, [header, *rows])
            conversion.files.append(path)
        else:
            path.unlink(missing_ok=True)  # of an earlier run
    path = base.with_name(f"{base.name}.provenance.json")
    write_json(path, record)
    info = {"description": f"{rules.source}: boxes in the upright frame, 0-based", "provenance": path.name}
    if not conversion.patients_known:
        info |= UNKNOWN_PATIENTS
    classes = rules.classes or sorted({roi.label for film in conversion.films for roi in (*film.rois, *film.ignored)})
    write_json(conversion.path, build_coco(conversion.films, classes, info))
    conversion.files.extend([path, conversion.path])


def _shown(box: tuple[float, ...] | None) -> str:
    return " ".join(f"{edge:.2f}" for edge in box) if box else ""

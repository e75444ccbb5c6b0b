"""What a conversion prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hipdet.coco import Summary
from hipdet.collection.conversion import Conversion, reasons

SHOWN = 5


def table1(written: Mapping[Path, Summary]) -> str:
    """One line per written file: films, ROIs, patients, ratio_ROI/image, and the paper's Table 1."""
    width = max(len(path.name) for path in written)
    head = f"{'file':{width}}  films   ROIs  patients  ratio min/median/max     px max    min  median    mean   s.d."
    lines = [head]
    for path, s in written.items():
        ratio = f"{s.ratio.minimum:.3f} / {s.ratio.median:.3f} / {s.ratio.maximum:.3f}"
        px = s.long_side
        sizes = f"{px.maximum:9.0f} {px.minimum:6.0f} {px.median:7.0f} {px.mean:7.1f} {px.sd:6.1f}"
        lines.append(f"{path.name:{width}}  {s.films:5}  {s.rois:5}  {s.patients:8}  {ratio}  {sizes}")
    return "\n".join(lines)


def report(conversion: Conversion) -> str:
    """The table, then what was left out and what needs a look."""
    lines = [table1({conversion.path: conversion.summary})]
    if conversion.exclusions:
        lines.append(f"{len(conversion.exclusions)} films excluded:")
        lines += [f"  {count:6}  {reason}" for reason, count in reasons(conversion.exclusions)]
    none = sum(not film.rois for film in conversion.films)
    if none:
        lines.append(f"{none} films are recorded as having no ROI: training learns from them what is none")
    if not conversion.patients_known:
        lines.append(
            "patients aren't known, so each film counts as one: --table or --patient-from says which film is whose"
        )
    lines += conversion.notes
    if ignored := sum(len(film.ignored) for film in conversion.films):
        lines.append(f"{ignored} boxes with iscrowd or ignore: neither ROI nor background")
    if conversion.agreements:
        ious = [row.iou for row in conversion.agreements]
        films = len({row.film for row in conversion.agreements})
        worst = conversion.agreements[0]
        lines.append(
            f"annotators: {films} films read by several, mean IoU {sum(ious) / len(ious):.3f}, "
            f"lowest {worst.iou:.3f} ({worst.film})"
        )
    if conversion.duplicates:
        pairs = conversion.duplicates
        lines.append(f"{len(pairs)} pairs of nearly the same film, the closest {pairs[0].first} and {pairs[0].second}")
    lines += _some("warning", conversion.warnings)
    lines.append("written: " + ", ".join(path.name for path in conversion.files) + f" in {conversion.path.parent}")
    return "\n".join(lines)


def _some(kind: str, texts: Sequence[str]) -> list[str]:
    more = [f"... and {len(texts) - SHOWN} more {kind}s in the provenance file"] if len(texts) > SHOWN else []
    return [f"{kind}: {text}" for text in texts[:SHOWN]] + more

"""The report of ``hipdet fit``: one HTML page with data, plan, metrics and the worst films."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hipdet.core.annotations import GUESSED, UNKNOWN
from hipdet.core.files import write_text
from hipdet.workflows.fit_results import FitResult

WORST = 20
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ccc}"
)


def write_report(result: FitResult, path: Path) -> None:
    """Write the report of `result` to `path`."""
    metrics = result.metrics
    parts = [
        f"<h1>{_text(result.out.name)}</h1>",
        *_data(metrics["data"]),
        *_plan(metrics["plan"], metrics["budget"]),
        *_metrics(metrics),
        *_worst(metrics["rois"]),
    ]
    head = f"<meta charset=utf-8><title>{_text(result.out.name)}</title><style>{STYLE}</style>"
    write_text(path, f"<!doctype html><html lang=en>{head}<body>{''.join(parts)}</body></html>\n")


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = "".join(f"<th>{_text(each)}</th>" for each in head)
    lines = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{lines}</table>"


def _list(sentences: Iterable[object]) -> str:
    return f"<ul>{''.join(f'<li>{_text(each)}</li>' for each in sentences)}</ul>"


def _data(data: dict[str, Any]) -> list[str]:
    together = {
        UNKNOWN: "Patients unknown: near duplicates are kept together.",
        GUESSED: "Patients unknown: groups of films that may be of one patient are kept together.",
    }
    known = f"<p><b>{together[data['patients_said']]}</b></p>" if data["patients_said"] else ""
    rows = [(name, count, data["films_without"][name]) for name, count in data["rois_of_class"].items()]
    notes = [*data["notes"], *data["warnings"]]
    if data["unlabelled"]:
        notes.append(
            f"{len(data['unlabelled'])} films that no label names were left out: {', '.join(data['unlabelled'])}"
        )
    notes += [f"left out: {film}: {why}" for film, why in data["excluded"] if film not in data["unlabelled"]]
    said = f"<p>{data['films']} films, {data['rois']} ROIs, {data['patients']} patients.</p>"
    return ["<h2>Data</h2>", known, said, _table(("class", "ROIs", "films without"), rows), _list(notes)]


def _plan(plan: dict[str, Any], budget: dict[str, Any]) -> list[str]:
    return ["<h2>Plan</h2>", _list([*plan["reasons"], budget["said"], *budget["notes"]])]


def _metrics(metrics: dict[str, Any]) -> list[str]:
    found = metrics["out_of_fold"]
    rows = [("all", found), *found["classes"].items()]
    table = _table(
        ("class", "ROIs", "average IoU", "95%", "acc50", "acc75", "lowest IoU", "recall", "false ROIs a film"),
        [_metric_row(name, each) for name, each in rows],
    )
    return ["<h2>Out of fold</h2>", table]


def _metric_row(name: str, each: dict[str, Any]) -> tuple[object, ...]:
    if not each["num_rois"]:
        return (name, 0)
    low, high = each["avg_iou_interval"]
    shown = (f"{each[key]:.3f}" for key in ("acc50", "acc75", "min_iou", "recall", "false_per_film"))
    return name, int(each["num_rois"]), f"{each['avg_iou']:.3f}", f"{low:.3f} to {high:.3f}", *shown


def _worst(rows: Sequence[dict[str, Any]]) -> list[str]:
    shown = [(row["film"], row["label"], f"{row['iou']:.3f}", f"{row['confidence']:.3f}") for row in rows[:WORST]]
    return ["<h2>Worst first</h2>", _table(("film", "class", "IoU", "score"), shown)]

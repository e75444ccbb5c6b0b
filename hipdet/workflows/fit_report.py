"""The report of ``hipdet fit``: one HTML file that stands alone, pictures included, so that it can be sent and kept.

It loads nothing, has no script, and escapes what comes from files.  Film pictures are few and small, however many films
there are; ``metrics.json`` has every label.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from hipdet.core.annotations import drawn_box, is_ignored
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_text
from hipdet.radiographs.read import read_radiograph
from hipdet.visualization.film_pictures import evaluated_films
from hipdet.visualization.html_page import JPEG_QUALITY, embedded, embedded_plot, fill_page
from hipdet.visualization.plot_data import find_runs, read_log
from hipdet.visualization.plots import write_calibration, write_learning_curves
from hipdet.visualization.tiles import PicturedFilm, marked_tile, shrunk, worst_first
from hipdet.workflows import fit_words as words
from hipdet.workflows.fit_metrics import metric_rows
from hipdet.workflows.fit_results import FitResult

PICTURED = 24  # films of each list: a page that opens at once, also of thousands of films
LISTED = 200  # of names and doubted labels; metrics.json has all
SIDE = 360  # px of a picture
PORT = 8765  # of hipdet annotate: a port of its own, so that links can be written before it runs


def write_report(result: FitResult, path: Path) -> None:
    """Write the report of `result` to `path`."""
    metrics = result.metrics
    films = _Films(result)
    page = fill_page(
        "report",
        dict(link=_link, names=_names),
        title=result.out.resolve().name,
        m={"before": None, "test": None, **metrics},
        said=_said(metrics),
        rows=metric_rows(metrics["out_of_fold"]),
        test_rows=metric_rows(test) if "num_rois" in (test := metrics.get("test") or {}) else [],
        excluded=_by_reason(metrics["data"]["excluded"]),
        worst=films.worst(),
        doubted=films.doubted(metrics["doubted"]),
        listed=LISTED,
        calibration=_calibration(metrics),
        curves=_curves(result.out / "trainings"),
        annotate=annotate_command(result),
        predict=shlex.join(["hipdet", "predict", "--model", str(result.out), "FILMS"]),
        checked=result.out / "checked/annotator.json",
    )
    write_text(path, "".join(page))


def _said(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The sentences, by section."""
    before = metrics.get("before")
    return dict(
        meaning=words.meaning(metrics["out_of_fold"]),
        notices=words.notices(metrics),
        half=words.more_labels(metrics["half"], metrics["data"]["films"], metrics["budget"]["folds"]),
        calibration=words.calibrated(metrics["out_of_fold"]["calibration"]),
        doubts=words.doubts(metrics),
        before=words.comparison(before) if before else "",
        methods=words.methods(metrics),
        references=[each.format(version=metrics["versions"].get("hipdet", "")) for each in words.REFERENCES],
    )


def _link(film: str) -> str:
    """The address of a film in ``hipdet annotate``."""
    return f"http://127.0.0.1:{PORT}/#{quote(film, safe='')}"


def _names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - LISTED} more, in metrics.json" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest


def annotate_command(result: FitResult) -> str:
    """The command line that opens the films of `result` with their labels where the report's links lead."""
    labels = [drawn_box(each) for each in result.coco["annotations"] if not is_ignored(each)]
    squares = all(abs(width - height) <= 1 for _, _, width, height in labels)
    return shlex.join(
        [
            *("hipdet", "annotate", str(result.films), "--labels", str(result.out / "data/fit.json")),
            *("--classes", *(each["name"] for each in result.coco["categories"]), "--rois", "any"),
            *(() if squares else ("--free-shape",)),
            *("--out", str(result.out / "checked"), "--port", str(PORT)),
        ]
    )


def _by_reason(excluded: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Names of films left out, by reason, the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for film, reason in excluded:
        found.setdefault(reason, []).append(film)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _calibration(metrics: Mapping[str, Any]) -> str:
    found, limits = metrics["out_of_fold"], metrics["limits"] or {}
    presence = {name: each["limit"] for name, each in limits.get("presence", {}).items()}
    bands = {"all ROIs": found["calibration"]}
    return embedded_plot(partial(write_calibration, bands=bands, limits=presence)) if found["calibration"] else ""


def _curves(trainings: Path) -> str:
    """Loss and learning rate of all trainings by epoch; empty if their logs are gone."""
    try:
        logs = {folder.name: read_log(folder) for folder in find_runs(trainings)}
        return embedded_plot(partial(write_learning_curves, runs=logs))
    except DatasetError:
        return ""


class _Films:
    """Pictures of films with labels and detections out of fold, from their copies, which are small."""

    def __init__(self, result: FitResult) -> None:
        tested = result.tested
        self.root = result.files.root
        own = {image["id"]: image["file_name"] for image in result.coco["images"]}
        self.name_of = {copy["file_name"]: own[copy["id"]] for copy in result.files.coco["images"]}
        films = evaluated_films(dict(rois=tested.rois, extras=tested.extras))
        self.films = {self.name_of[film.file_name]: film for film in films.values()}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        for row in result.metrics["rois"]:
            self.rows.setdefault(row["film"], []).append(row)

    def worst(self) -> list[dict[str, Any]]:
        """Films whose lowest IoU is the lowest of all, with what was found of each label."""
        worst = worst_first([film for film in self.films.values() if film.iou is not None])[:PICTURED]
        named = [(self.name_of[film.file_name], film) for film in worst]
        return [dict(film=name, picture=self._picture(film), rows=self.rows[name]) for name, film in named]

    def doubted(self, doubts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The first films with doubted labels, each with its doubts."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for each in doubts:
            found.setdefault(each["film"], []).append(each)
        return [
            dict(film=name, picture=self._picture(self.films[name]), rows=rows)
            for name, rows in [*found.items()][:PICTURED]
        ]

    def _picture(self, film: PicturedFilm) -> str:
        picture, scale = shrunk(Image.fromarray(read_radiograph(film.path(self.root))), SIDE)
        tile = marked_tile(picture, scale, film.marks, (), picture.width).crop((0, 0, *picture.size))
        jpeg = io.BytesIO()
        # without subsampling, else thin lines lose their colour
        tile.save(jpeg, format="JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=0)
        return embedded(jpeg.getvalue(), "image/jpeg")

#!/usr/bin/env python3
"""Test the models of hipdet cross-validate on hard films made from the films left out: IoU, hits, false alarms by kind."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from hard_films import KINDS, make_kinds
from tqdm import tqdm

import hipdet.plugin  # noqa: F401  (before mmdet)
from hipdet.cli.main import reports_errors
from hipdet.core.boxes import as_boxes
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_text
from hipdet.core.records import read_json
from hipdet.core.tables import markdown, text_cell
from hipdet.data.coco_file import get_films
from hipdet.evaluation.matching import FilmResult, evaluate_film
from hipdet.evaluation.report import roi_rows, write_roi_table
from hipdet.export.torch_model import TorchModel
from hipdet.radiographs.read import read_radiograph

EXAMPLES = """examples:
  hipdet cross-validate configs/hip_roi_medium.py --data-root FracAtlas --ann annotations/hips.json --out OUT
  benchmarks/hard_table.py OUT --data-root FracAtlas

Writes OUT/hard_films.md, OUT/hard_films/<variant>.roi.json for hipdet gallery and hipdet plot, and the films into
OUT/hard_films/.  Each cell: average IoU / acc50 of as many detections as the film has hips, and in brackets the false
alarms per film: detections among the best two that score 0.5 or more and hit no hip.
"""
SURE = 0.5  # least score of a false alarm
Results = list[tuple[FilmResult, int]]  # result and number of false alarms of each film


def trained(fold: Path) -> TorchModel:
    """The model of the last checkpoint of `fold`."""
    checkpoint = Path((fold / "last_checkpoint").read_text(encoding="utf-8").strip()).name
    return TorchModel(fold / "config.py", fold / checkpoint)


def test(films: Path, kind: str, model: TorchModel, rows: list[dict]) -> Results:
    """Results of the films of `kind` in `films`; their ROIs are added to `rows`."""
    results = []
    coco = read_json(films / f"{kind}.json", "a COCO file")
    names = {category["id"]: category["name"] for category in coco["categories"]}
    for image, film in zip(coco["images"], get_films(coco)):
        every = model.infer(model.preprocess(read_radiograph(films / film.file_name)))
        sure = every.top(int((every.scores >= SURE).sum()))
        truth = as_boxes([roi.box for roi in film.rois])
        hips = np.zeros(len(truth), np.int64)
        alarms = evaluate_film(truth, hips, sure, 2).extra
        result = evaluate_film(truth, hips, every, len(truth))
        labels = [each for each in coco["annotations"] if each["image_id"] == image["id"]]
        rows += roi_rows(dict(image, file_name=f"{films.name}/{film.file_name}", source=kind), labels, result, names)
        results.append((result, alarms))
    return results


def cell(films: Results) -> str:
    """Average IoU / acc50 (false alarms per film)."""
    iou = np.array([roi.iou for film, _ in films for roi in film.rois])
    return f"{iou.mean():.3f} / {(iou >= 0.5).mean():.3f} ({np.mean([alarms for _, alarms in films]):.2f})"


@reports_errors
def main() -> None:
    """Test all variants on all kinds, write the tables and print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="output folder of hipdet cross-validate")
    parser.add_argument("--data-root", type=Path, required=True, help="folder that the films' names are relative to")
    parser.add_argument("--variants", nargs="+", help="variants to test (default: all that hipdet trained)")
    args = parser.parse_args()
    parts = sorted((args.out / "folds").glob("*_fold*_test.json"))
    names = args.variants or sorted({path.parents[1].name for path in args.out.glob("*/fold*/last_checkpoint")})
    if not parts or not names:
        raise DatasetError(
            f"{args.out}: no folds/*_fold*_test.json or no training: give the --out folder of hipdet cross-validate"
        )
    rows: dict[str, list[dict]] = {name: [] for name in names}
    results: dict[str, dict[str, Results]] = {name: {kind: [] for kind in KINDS} for name in names}
    for number, part in enumerate(parts):
        films = args.out / "hard_films" / f"fold{number}"
        make_kinds(part, args.data_root, films)
        for name in names:
            model = trained(args.out / name / f"fold{number}")
            for kind in tqdm(KINDS, desc=f"{name}, fold {number}"):
                results[name][kind] += test(films, kind, model, rows[name])
    for name in names:
        write_roi_table(str(args.out / "hard_films" / name), {}, rows[name], [])
    columns = {kind.replace("_", " "): text_cell(kind) for kind in ("", *KINDS)}
    table = markdown(
        columns, [{"": name, **{kind: cell(by_kind[kind]) for kind in KINDS}} for name, by_kind in results.items()]
    )
    write_text(args.out / "hard_films.md", f"{table}\n")
    print(table)


if __name__ == "__main__":
    main()

"""Try a model on films of your own: how they differ, how well it does on them, and limits of the review that suit them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.cli.main import command_parser, printable, require
from hipdet.core.errors import ConfigError
from hipdet.core.files import write_json
from hipdet.core.records import plain, read_json
from hipdet.core.resumable import alone_in
from hipdet.data.film_status import is_done
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import FITTED, RoiDetector, bundled_model
from hipdet.inference.onnx_model import ModelCard
from hipdet.workflows.accept import check_films, summarize, write_accept_page, write_moved
from hipdet.workflows.films_elsewhere import FilmsElsewhere

PAGE, METRICS, MODEL = "accept.html", "accept.json", "accepted.onnx"
NOT_SQUARE = 0.05  # by which most boxes differ from squares, if they aren't

EXAMPLES = """examples:
  hipdet accept films --out ours                                          how they differ, and how many are flagged
  hipdet accept films --out ours --confirm --by alice                     confirm or correct boxes in the browser
  hipdet accept films --out ours --labels ours/labels/alice.json          expected IoU, misses, and whether flags find them
  hipdet accept films --out ours --labels hips.csv --share .05 --by alice     move limits: a film in twenty has a flag
  hipdet accept films --out ours --labels hips.csv --fit --minutes 60     then train on these labels (hipdet fit)

Take some fifty films at random, not good or doubtful ones.  Labels: any format of hipdet fit.  --share moves the limits of
ratio and position, from 40 films with labels or more; that of the score stays, and so does the model: accepted.onnx is
another file.  Also writes to --out: accept.html (no film in it), accept.json, labels/ with --confirm, fit/ with --fit.  If
interrupted, run it again: it continues.  Not for diagnosis.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        ConfigError: arguments that contradict each other.
    """
    parser = command_parser("accept", __doc__, EXAMPLES)
    add = parser.add_argument
    add("films", type=Path, metavar="FILMS", help="folder of films, with all subfolders")
    add("--model", type=Path, metavar="FILE", help="ONNX file, or folder of hipdet fit (default: the bundled model)")
    add("--labels", type=Path, metavar="PATH", help="label file or folder, such as that of --confirm")
    add("--ignore", type=Path, metavar="FILE", help="CSV table of boxes that are neither ROI nor background")
    add("--patients", metavar="FILE|COLUMN|REGEX|folder|film", help="as for hipdet fit")
    add("--confirm", action="store_true", help="open the page of hipdet annotate with the detections; Ctrl+C ends it")
    add("--no-browser", action="store_true", help="only print the address of that page")
    add("--by", default="", metavar="NAME", help="who confirms or moves limits: for the label file and the card")
    add("--share", type=float, metavar="S", help="move limits so that this share of films has a flag")
    add("--out", type=Path, default=Path("accept"), metavar="FOLDER", help="output folder")
    add("--fit", nargs=argparse.REMAINDER, metavar="OPTION", help="train on the labels; options of hipdet fit follow")
    args = parser.parse_args(argv)
    if args.share is not None and not 0 < args.share < 1:
        raise ConfigError(f"--share {args.share}: expected a share of films above 0 and below 1, such as .05")
    if (args.share, args.fit) != (None, None) and not (args.labels or args.confirm):
        raise ConfigError("--share and --fit need labels: add --labels, or confirm boxes with --confirm, before --fit")
    args.model = args.model or bundled_model()
    args.model = args.model / FITTED if args.model.is_dir() else args.model
    if args.share is not None and args.model.resolve() == (args.out / MODEL).resolve():
        raise ConfigError(f"--model {args.model}: would be replaced: choose another --out")
    for extras, option in ((("annotate",), "confirm"), (("export",), "share"), (("mm", "export"), "fit")):
        if getattr(args, option) not in (None, False):
            require(extras, f"accept --{option}")
    return args


def confirm(args: argparse.Namespace, found: Sequence[FilmRois], card: ModelCard) -> Path | None:
    """Open the page of hipdet annotate with what was `found`, until it is ended; its label file, if films are finished."""
    from hipdet.cli import annotate

    films = {os.path.realpath(film.path): film for film in found if film.path}
    sizes = np.array([np.subtract(roi.box[2:], roi.box[:2]) for film in found for roi in film.rois] or [[1, 1]])
    squares = np.median(np.abs(np.log(sizes[:, 0] / sizes[:, 1]))) <= NOT_SQUARE
    by, (least, most) = args.by or "annotator", card.counts.ranges[0]
    rois = most if card.counts.together and least == most else "any"
    out, other = args.out / "labels", FilmRois("", None, error="not among the films")
    options = [str(args.films), f"--model={args.model}", f"--annotator={by}", f"--out={out}", f"--rois={rois}"]
    options += ["--classes", *card.classes, *([f"--labels={args.labels}"] if args.labels else [])]
    options += [*([] if squares else ["--free-shape"]), *(["--no-browser"] if args.no_browser else [])]
    annotate.main(options, lambda paths: (films.get(os.path.realpath(path), other) for path in paths))
    return out / f"{by}.json" if any(map(is_done, read_json(out / f"{by}.json", "labels")["images"])) else None


def summary(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The metrics in a few lines."""
    yield f"{metrics['films']} films, {metrics['flagged']} flagged; {len(metrics['unreadable'])} can't be read"
    if (found := metrics["labelled"]) and found["num_rois"]:
        iou = "{:.3f} [{:.3f}, {:.3f}]".format(found["avg_iou"], *found["avg_iou_interval"])
        yield f"{found['films']} with labels: average IoU {iou}, recall {found['recall']:.3f}"
        (wrong, all_wrong), (right, all_right) = (found["counts"][name] for name in ("wrong", "right"))
        yield f"flagged: {wrong} of {all_wrong} wrong films, {right} of {all_right} right ones"
    if metrics["moved"]:
        yield metrics["moved"]["said"]


def main(argv: Sequence[str] | None = None) -> None:
    """Try the model, and print what came out."""
    args = _parse_arguments(argv)
    detector = RoiDetector(args.model, progress=True)
    card = detector.model.card
    place = FilmsElsewhere(args.films, args.labels, card.classes, args.patients, args.ignore)
    with alone_in(args.out):
        if args.confirm:
            found, _, _ = check_films(detector, replace(place, labels=None), args.out)
            place = replace(place, labels=confirm(args, [film.record for film in found], card))
        films, failed, labelled = check_films(detector, place, args.out)
        metrics = dict(summarize(films, failed, labelled, card.limits), moved=None)
        metrics["model"] = f"{card.config} ({detector.model.fingerprint[:12]})"
        if args.share is not None:
            metrics["moved"] = write_moved(args.model, card, films, args.share, args.by, args.out / MODEL)
        metrics = plain(metrics)
        write_accept_page(args.out / PAGE, args.films.resolve().name, card, metrics)
        write_json(args.out / METRICS, metrics)
    print(*map(printable, summary(metrics)), f"written to {args.out}: {PAGE}, {METRICS}", sep="\n")
    if args.fit is not None and place.labels:
        from hipdet.cli import fit

        options = [f"--{name}={value}" for name in ("patients", "ignore") if (value := getattr(args, name))]
        options += ["--labels", f"={place.labels}", "--classes", *card.classes, "--out", str(args.out / "fit")]
        fit.main([str(args.films), *options, *args.fit])

"""Find the ROIs on films: COCO results, a table, and a list of films to review."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from hipdet.cli.main import MOST_WORKERS, USER_ERROR, command_parser, printable, require, whole_number
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import ConfigError
from hipdet.core.files import read_csv
from hipdet.inference.detector import HipDetector, RoiDetector
from hipdet.inference.dicom_objects import ObjectMaker, write_objects
from hipdet.inference.film_list import FilmList, films_at, films_of_coco
from hipdet.inference.onnx_model import PRECISIONS
from hipdet.inference.run import FAILURES, REVIEW, Predictor, discard
from hipdet.inference.selection import HeaderFilter, Shard

SOME_UNREADABLE = 1
SHOWN = 20
_COUNT_OF_CLASS = re.compile(r".+=\d{1,4}(-\d{1,4})?")

EXAMPLES = """examples:
  hipdet predict film.jpg                                            with the bundled model, for hips
  hipdet predict films 'more/**/*.dcm' --model hips.onnx --out predictions
  hipdet predict --ann data/annotations/hips.json --data-root data   the films of a COCO file, with its ids
  hipdet predict films --config configs/hip_roi_medium.py --weights epoch_150.pth
  hipdet predict archive --modality CR DX --body-part PELVIS HIP --view AP     only films with such DICOM headers
  hipdet predict archive --shard 3/64                                the third of 64 parts, such as a task of a Slurm array
  hipdet predict archive --engine ray --workers 8                    by eight workers here, or of the cluster at RAY_ADDRESS
  hipdet predict archive --dicom-sr --dicom-pr                       also DICOM objects, for a PACS: docs/guide/dicom.md
  hipdet predict chests --model chest.onnx --rois heart=1 'left lung=0-1' 'right lung=0-1'

Writes to --out: predictions.json (COCO results, with names, sides and flags), predictions.csv (a row per ROI), review.csv
(films to review, worst first), films.json (the films as a COCO file; not with --ann); with --shard and --engine ray a folder
with these for each shard, of ray also predictions.parquet.  If interrupted, run it again: it continues.  Detections scoring
less than the model's limit are candidates; if you know that each film has two hips, --rois hip=2 gives the best two whatever
they score.  If a DICOM film says its spacing, its ROIs have sizes in mm, and the plane that these are in.
Names of films are UTF-8; other bytes, control characters and backslashes in a name become percent escapes.
Folders with a manifest.csv of hipdet crop are passed over.  Exit status: 0; 1 if some films can't be read; 2 if none can; 3
if the disk is full or the folder read-only.  Not for diagnosis.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("predict", __doc__, EXAMPLES)
    add = parser.add_argument
    add("films", nargs="*", metavar="FILM", help="films, folders (with all subfolders), or patterns in quotes")
    add(
        "--model", type=Path, metavar="FILE",
        help="ONNX file of hipdet export, or folder of hipdet fit (default: the bundled model)",
    )  # fmt: skip
    add("--config", type=Path, metavar="CONFIG", help="config of --weights")
    add("--weights", type=Path, metavar="FILE", help="checkpoint (.pth or .safetensors); needs hipdet[mm]")
    add("--device", default="cpu", help="device for --weights, such as cuda:0")
    add("--ann", type=Path, metavar="ANN.json", help="COCO file that lists the films")
    add("--data-root", type=Path, metavar="FOLDER", help="folder that film names of --ann start from")
    add("--out", type=Path, default=Path("predictions"), metavar="FOLDER", help="output folder")
    add(
        "--rois",
        nargs="+",
        metavar="N",
        help="ROIs that a film may have: 1-2, or heart=1-2 (default: the model's); 2: each film has two",
    )
    add("--as-stored", action="store_true", help="don't make films upright, as models with an orientation head do")
    add("--whole-films", action="store_true", help="decode JPEG films at full size: exact, but slower")
    add("--threads", type=int, metavar="N", help="threads of an ONNX model (default: the runtime's own choice)")
    add(
        "--film-timeout", type=float, metavar="SECONDS",
        help="give a film up after this time (default: 100 times the median of the films before, at least 60)",
    )  # fmt: skip
    add("--runtime", default="onnxruntime", choices=["onnxruntime", "openvino"], help="runtime of --model")
    add("--precision", default="float32", choices=list(PRECISIONS), help="bfloat16 needs --runtime openvino")
    add("--dicom-sr", action="store_true", help="write a structured report of each DICOM film to OUT/dicom")
    add("--dicom-pr", action="store_true", help="write a presentation state of each, with the boxes drawn")
    add("--codes", type=Path, metavar="FILE", help="JSON: codes by class, for --dicom-sr (default: those of the model)")
    add("--overwrite", action="store_true", help="discard the results of an earlier call")
    _add_archive(parser.add_argument_group("archives"))
    args = parser.parse_args(argv)
    if args.rois:
        args.rois, films = _counts_and_films(args.rois)
        args.films += films
    return args


def _add_archive(group: argparse._ArgumentGroup) -> None:
    """The arguments for archives: docs/guide/archive.md."""
    add = group.add_argument
    add("--shard", metavar="K/N", help="only the K-th of N shards of the films; its results go to OUT/shard-K-of-N")
    add("--engine", default="here", choices=["here", "ray"], help="ray: shards and Parquet, by Ray (extra ray)")
    workers = whole_number(1, "a number from 1 up", MOST_WORKERS)
    add("--workers", type=workers, metavar="N", help="workers of --engine ray (default: one for each processor)")
    for name, tag in (("--modality", "Modality"), ("--body-part", "BodyPartExamined"), ("--view", "ViewPosition")):
        add(name, nargs="+", metavar="CODE", help=f"leave DICOM films out that have another {tag}, see headers.csv")


def _counts_and_films(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the words after ``--rois`` into counts and the films that follow them."""
    by_class = "=" in words[0]
    counts = [words[0], *takewhile(lambda word: by_class and _COUNT_OF_CLASS.fullmatch(word), words[1:])]
    return counts, list(words[len(counts) :])


def open_detector(args: argparse.Namespace) -> RoiDetector:
    """The detector that the arguments name.

    Raises:
        ConfigError: arguments that contradict each other.
        CheckpointError: no such model.
    """
    if args.model and (args.config or args.weights):
        raise ConfigError("--model contains its weights: expected either --model, or --config and --weights")
    detector = HipDetector(
        args.model or args.config, args.weights, find_orientation=not args.as_stored, whole_films=args.whole_films,
        threads=args.threads, runtime=args.runtime, precision=args.precision, device=args.device,
        film_timeout=args.film_timeout, progress=True,
    )  # fmt: skip
    if args.rois:
        detector.rois, detector.stated = RoiCounts.from_words(args.rois, detector.model.card.classes), True
    return detector


def list_films(args: argparse.Namespace) -> FilmList:
    """The films that the arguments name.

    Raises:
        ConfigError: arguments that contradict each other.
        DatasetError: no films.
    """
    if bool(args.films) == bool(args.ann):
        raise ConfigError("expected either films, or a COCO file with --ann and --data-root")
    if not args.ann:
        return films_at(args.films)
    if args.data_root is None:
        raise ConfigError("--ann needs --data-root, the folder that its film names start from")
    return films_of_coco(args.ann, args.data_root)


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _check_archive(args: argparse.Namespace) -> tuple[Shard | None, HeaderFilter]:
    """The shard and the headers that the arguments name; ConfigError if they contradict each other, or are no such thing."""
    shard = None if args.shard is None else Shard.parse(args.shard)
    headers = HeaderFilter.of(Modality=args.modality, BodyPartExamined=args.body_part, ViewPosition=args.view)
    if args.engine == "ray":
        if shard:
            raise ConfigError("--shard and --engine ray: expected one of them, as ray divides the films itself")
        require(("ray",), "predict --engine ray")
    elif args.workers:
        raise ConfigError("--workers is of --engine ray: expected both, or start several shards")
    return shard, headers


def _objects(args: argparse.Namespace, detector: RoiDetector) -> partial[Counter[str]] | None:
    """Writes the DICOM objects that are wanted; None if none are."""
    if kinds := [kind for kind, wanted in (("sr", args.dicom_sr), ("pr", args.dicom_pr)) if wanted]:
        require(("dicom",), "predict --dicom-sr")
        return partial(write_objects, ObjectMaker(detector, args.codes), kinds)
    if args.codes:
        raise ConfigError("--codes is of --dicom-sr: expected both")
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """Predict the films and print what was written."""
    args = _parse_arguments(argv)
    shard, headers = _check_archive(args)
    if ray := args.engine == "ray":
        args.threads = args.threads or 1
    todo = list_films(args)
    for line in todo.passed.lines():
        _tell(line)
    todo, out = (shard.films(todo), args.out / shard.folder) if shard else (todo, args.out)
    predictor = Predictor(partial(open_detector, args), headers, args.out)
    predictor.objects = _objects(args, predictor.detector)
    if ray:
        from hipdet.inference.ray_engine import predict_by_ray

        found = predict_by_ray(predictor, todo, args.threads, args.workers, args.overwrite, _tell)
    else:
        if args.overwrite:
            discard(out)
        found = predictor.predict(todo, shard, _tell)
    review = out / (FAILURES if ray else REVIEW)
    failures = [row for row in read_csv(review, ("film", "error")) if row[1]]
    for name, error in failures[:SHOWN]:
        _tell(f"{name}: {error}")
    if len(failures) > SHOWN:
        _tell(f"... and {len(failures) - SHOWN} more in {review}")
    count, good = found["films"], found["films"] - found["unreadable"]
    print(printable(f"{good} of {count} films predicted: {out}; films to review: {review}"))
    if count and not good:
        sys.exit(USER_ERROR)
    if predictor.objects:
        faults = f", {found['without']} films without (see {review.name})" if found["without"] else ""
        others = f", {found['others']} films aren't DICOM" if found["others"] else ""
        place = out / ("shard-*/dicom" if ray else "dicom")
        print(printable(f"{found['objects']} DICOM objects{faults}{others}: {place}"))
    predictions = out if ray else out / "predictions.json"
    print(printable(f"next: hipdet crop {predictions} --data-root {todo.root} --out crops"))
    if failures:
        sys.exit(SOME_UNREADABLE)

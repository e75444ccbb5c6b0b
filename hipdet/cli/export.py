"""Export a checkpoint as one ONNX file that needs neither torch nor mmdet, and compare its boxes with torch's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hipdet.cli.main import command_parser, printable
from hipdet.core.classes import RoiCounts
from hipdet.core.configs import coco_file
from hipdet.core.errors import ConfigError
from hipdet.core.files import write_json
from hipdet.export.export import export_model, require_own_tables, validation_films
from hipdet.export.torch_model import LIMITS_SUFFIX, TorchModel
from hipdet.inference.film_list import film_sources
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.review import SHARE, build_limits
from hipdet.phantoms.chest import CLASSES as CHEST_CLASSES
from hipdet.phantoms.chest import plan_chest, render_chest
from hipdet.phantoms.plan import SOURCES
from hipdet.phantoms.write import make_film

FILM_SIDE = 512  # px, long side of synthetic films
HIPS = {"hip", "left hip", "right hip"}
CHESTS = {*CHEST_CLASSES, "left lung", "right lung"}
PELVES, CHEST_FILMS, NOISE = "pelvis phantoms", "chest phantoms", "noise"
Film = NDArray[np.uint8]


def films_to_compare(films: Sequence[str], classes: Sequence[str]) -> tuple[int | None, Iterator[Film], str]:
    """The films to compare on, as ``--films`` has them.

    Args:
        films: A whole number, for synthetic films, or paths, folders and patterns.
        classes: Class names; they choose the kind of synthetic films.

    Returns:
        Number of films if it is known, the films ``[H, W]``, and their kind.
    """
    if len(films) != 1 or not films[0].isdecimal():
        return None, (source.read().pixels for source in film_sources([Path(name) for name in films])), "films"
    count = int(films[0])
    kind = PELVES if HIPS.issuperset(classes) else CHEST_FILMS if CHESTS.issuperset(classes) else NOISE
    return count, drawn(kind, count), kind


def drawn(kind: str, count: int) -> Iterator[Film]:
    """Draw `count` films of a `kind`, always the same ones."""
    sources = sorted(SOURCES)
    for number in range(count):
        if kind == PELVES:
            yield make_film(sources[number % len(sources)], number, seed=1, max_side=FILM_SIDE).pixels
        elif kind == CHEST_FILMS:
            yield render_chest(plan_chest(number, seed=1, max_side=FILM_SIDE))
        else:
            yield noise(number)


def noise(number: int) -> Film:
    """A film of random grey squares of three sizes: a network finds boxes everywhere, and no two places are alike."""
    rng = np.random.default_rng([1, number])
    height = FILM_SIDE - 64 * int(rng.integers(0, 3))
    layers = [
        np.kron(rng.integers(0, 255 // 3, (-(-height // size), FILM_SIDE // size)), np.ones((size, size), int))[:height]
        for size in (64, 16, 8)
    ]
    return np.sum(layers, axis=0).astype(np.uint8)


def with_bar(films: Iterable[Film], count: int | None) -> Iterator[Film]:
    """`films` with a progress bar."""
    yield from tqdm(films, total=count, desc="comparing with torch", unit="film", disable=None)


EXAMPLES = """examples:
  hipdet export configs/hip_roi_medium.py work_dirs/hip_roi_medium/epoch_150.pth --out hips.onnx
  hipdet export CONFIG WEIGHTS --calibrate OUT/base/fold*/test/test.roi.json \\
      --ann hips.json                                            with review limits
  hipdet export CONFIG WEIGHTS --films data/knees --rois knee=1-2       compare on your own films
  hipdet export CONFIG WEIGHTS --about data='FracAtlas, CC BY 4.0' limits='adults; not for diagnosis'

--calibrate computes the limits of the review from detections on films that the model wasn't trained on, and from which score
a detection is an ROI; for that, let the films include such that have none.  They are stored in the ONNX file, and in
WEIGHTS.review.json for hipdet predict --config --weights.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("export", __doc__, EXAMPLES)
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="config file, such as configs/hip_roi_medium.py")
    add("weights", type=Path, metavar="WEIGHTS", help="checkpoint (.pth or .safetensors)")
    add("--out", type=Path, metavar="FILE", help="file to write (default: WEIGHTS with .onnx)")
    add("--name", help="name of the model (default: that of its config)")
    add("--calibrate", nargs="+", type=Path, metavar="ROI.json", help="test.roi.json of a test, or of all folds")
    add("--ann", type=Path, metavar="ANN.json", help="COCO file of their films, below --data-root or from here")
    add("--data-root", type=Path, metavar="FOLDER", help="folder in which --ann is searched for first")
    add("--share", type=float, default=SHARE, help="share of their ROIs beyond each limit")
    add(
        "--rois", nargs="+", metavar="N",
        help="ROIs that a film may have: 1-2, or heart=1 lung=1-2 (default: those of the config's RoiMetric)",
    )  # fmt: skip
    add("--about", nargs="+", default=[], metavar="KEY=TEXT", help="texts for the metadata of the file")
    add(
        "--films", nargs="+", default=["12"], metavar="N|PATH",
        help="films to compare on: paths, folders, or a number of synthetic films, 0 for none (default: 12)",
    )  # fmt: skip
    return parser.parse_args(argv)


def build_card(model: TorchModel, args: argparse.Namespace) -> ModelCard:
    """The card of the model, completed from the arguments.

    Raises:
        ConfigError: arguments that contradict each other.
        DatasetError: tables that can't be read.
    """
    if bool(args.calibrate) != bool(args.ann):
        raise ConfigError("--calibrate needs --ann, the COCO file of its films, and --ann needs --calibrate")
    if wrong := [text for text in args.about if "=" not in text]:
        raise ConfigError(f"--about {wrong[0]}: expected KEY=TEXT")
    if not 0 <= args.share < 0.5:
        raise ConfigError(f"--share {args.share}: expected a share below 0.5, such as {SHARE}")
    about = dict(text.split("=", 1) for text in args.about)
    rois: Any = RoiCounts.from_words(args.rois, model.card.classes).to_json() if args.rois else model.card.rois
    card = replace(model.card, config=args.name or model.card.config, about={**model.card.about, **about}, rois=rois)
    if args.calibrate:
        if doubt := require_own_tables(args.calibrate, model):
            print(f"warning: {doubt}", file=sys.stderr)
        films = validation_films(args.calibrate, coco_file(args.ann, args.data_root), card.classes)
        card = replace(card, limits=build_limits(films, args.share, card.classes))
    return card


def main(argv: Sequence[str] | None = None) -> None:
    """Export the model and print how it compares."""
    args = _parse_arguments(argv)
    model = TorchModel(args.config, args.weights)
    card = build_card(model, args)
    out = args.out or args.weights.with_suffix(".onnx")
    count, films, kind = films_to_compare(args.films, card.classes)
    if kind == NOISE and count:
        print(f"no synthetic films of {', '.join(card.classes)}: compared on noise; set --films to compare on films")
    print(f"writing {out}, which takes up to a minute, then comparing", file=sys.stderr)
    difference = export_model(model, card, out, with_bar(films, count))
    compared = "not compared" if count == 0 else f"boxes equal to torch's within {difference:.1g} px ({kind})"
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {compared}")
    if args.calibrate and card.limits:
        write_json(args.weights.with_suffix(LIMITS_SUFFIX), card.limits.to_json())
        print(f"review limits from {card.limits.films} films: in it, and in {args.weights.with_suffix(LIMITS_SUFFIX)}")
        for name, each in card.limits.presence.items():
            print(printable(f"{name}: {each.words()}"))
    elif card.limits is None:
        print("no review limits: only the number of ROIs is reviewed (--calibrate adds limits)")

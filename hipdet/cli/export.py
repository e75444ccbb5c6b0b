"""Write a checkpoint as one ONNX file that needs neither torch nor mmdet, and compare it with what it comes from."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hipdet.cli.main import command_parser
from hipdet.core.classes import RoiCounts
from hipdet.core.configs import coco_file
from hipdet.core.errors import ConfigError
from hipdet.core.files import write_json
from hipdet.export.export import export_model, validation_films
from hipdet.export.torch_model import LIMITS_SUFFIX, TorchModel
from hipdet.inference.film_list import film_sources
from hipdet.inference.onnx_model import ModelCard
from hipdet.inference.review import SHARE, build_limits
from hipdet.phantoms.chest import CLASSES as CHEST_CLASSES
from hipdet.phantoms.chest import plan_chest, render_chest
from hipdet.phantoms.plan import SOURCES
from hipdet.phantoms.write import make_film

FILM_SIDE = 512  # px of the films that are drawn
HIPS = {"hip", "left hip", "right hip"}
CHESTS = {*CHEST_CLASSES, "left lung", "right lung"}
PELVES, CHEST_FILMS, NOISE = "pelvis phantoms", "chest phantoms", "noise"
Film = NDArray[np.uint8]


def films_to_compare(films: Sequence[str], classes: Sequence[str]) -> tuple[int | None, Iterator[Film], str]:
    """Films by what users ask for: a number of drawn ones, or paths.

    Args:
        films: One whole number, or paths, folders and patterns.
        classes: Names; they decide what is drawn.

    Returns:
        How many where that is known, the films ``[H, W]``, and what they are.
    """
    if len(films) != 1 or not films[0].isdigit():
        return None, (source.read().pixels for source in film_sources([Path(name) for name in films])), "films"
    count = int(films[0])
    kind = PELVES if HIPS.issuperset(classes) else CHEST_FILMS if CHESTS.issuperset(classes) else NOISE
    return count, drawn(kind, count), kind


def drawn(kind: str, count: int) -> Iterator[Film]:
    """Films of a `kind`, always the same ones."""
    sources = sorted(SOURCES)
    for number in range(count):
        if kind == PELVES:
            yield make_film(sources[number % len(sources)], number, seed=1, max_side=FILM_SIDE).pixels
        elif kind == CHEST_FILMS:
            yield render_chest(plan_chest(number, seed=1, max_side=FILM_SIDE))
        else:
            yield noise(number)


def noise(number: int) -> Film:
    """Squares of random grey, larger ones and smaller ones: a network finds something everywhere, and no two places alike."""
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
      --ann hips.json --data-root FracAtlas                      with review limits
  hipdet export CONFIG WEIGHTS --films data/knees --rois knee=1-2       compared on films of one's own
  hipdet export CONFIG WEIGHTS --about data='FracAtlas, CC BY 4.0' limits='adults; not for diagnosis'

Limits for the review come from detections on films that the model wasn't trained on; they go into the file, and into
WEIGHTS.review.json beside the weights, where config and weights are used as they are.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("export", __doc__, EXAMPLES)
    add = parser.add_argument
    add("config", type=Path, help="config file, such as configs/hip_roi_medium.py")
    add("weights", type=Path, help="checkpoint (.pth or .safetensors)")
    add("--out", type=Path, help="file to write (default: WEIGHTS with .onnx)")
    add("--name", help="of the model (default: that of its config)")
    add("--calibrate", nargs="+", type=Path, metavar="ROI.json", help="tables of a test, or of all folds")
    add("--ann", type=Path, help="COCO file of the films in these tables, under the data root or from here")
    add("--data-root", type=Path, help="folder of these films, to learn how inverted films are told")
    add("--share", type=float, default=SHARE, help="of their ROIs beyond each limit")
    add(
        "--rois", nargs="+",
        help="expected on a film: 2, or heart=1 lung=1-2 (default: those of the config's RoiMetric)",
    )  # fmt: skip
    add("--about", nargs="+", default=[], metavar="KEY=TEXT", help="texts for the file's metadata")
    add(
        "--films", nargs="+", default=["12"], metavar="N|PATH",
        help="to compare on: paths or folders of films, or a number of drawn ones, 0 for none (default: 12)",
    )  # fmt: skip
    return parser.parse_args(argv)


def build_card(model: TorchModel, args: argparse.Namespace) -> ModelCard:
    """The card of the model, with what the arguments add.

    Raises:
        ConfigError: arguments that don't go together.
        DatasetError: tables that can't be read.
    """
    if bool(args.calibrate) != bool(args.ann):
        raise ConfigError("--calibrate needs --ann, the COCO file of the films in its tables, and the other way round")
    if wrong := [text for text in args.about if "=" not in text]:
        raise ConfigError(f"--about {wrong[0]}: expected KEY=TEXT")
    if not 0 <= args.share < 0.5:
        raise ConfigError(f"--share {args.share}: expected a share below 0.5, such as {SHARE}")
    about = dict(text.split("=", 1) for text in args.about)
    rois: Any = RoiCounts.from_words(args.rois, model.card.classes).to_json() if args.rois else model.card.rois
    card = replace(model.card, config=args.name or model.card.config, about={**model.card.about, **about}, rois=rois)
    if args.calibrate:
        films = validation_films(args.calibrate, coco_file(args.ann, args.data_root), args.data_root, card.classes)
        card = replace(card, limits=build_limits(films, args.share))
    return card


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    args = _parse_arguments(argv)
    model = TorchModel(args.config, args.weights)
    card = build_card(model, args)
    out = args.out or args.weights.with_suffix(".onnx")
    count, films, kind = films_to_compare(args.films, card.classes)
    if kind == NOISE and count:
        print(f"no films of {', '.join(card.classes)} can be drawn: compared on noise; name some films with --films")
    difference = export_model(model, card, out, with_bar(films, count))
    compared = "not compared" if count == 0 else f"boxes as torch's to {difference:.1g} px ({kind})"
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {compared}")
    if args.calibrate and card.limits:
        write_json(args.weights.with_suffix(LIMITS_SUFFIX), card.limits.to_json())
        print(f"review limits from {card.limits.films} films: in it, and {args.weights.with_suffix(LIMITS_SUFFIX)}")
    elif card.limits is None:
        print("without review limits: only the number of ROIs will be looked at (--calibrate)")

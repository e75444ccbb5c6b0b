"""Draw the films of a data set with their labels, or as augmentation changes them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from hipdet.cli.gallery import add_picture_arguments, image_root, limited, listed, out_file, write_pictures
from hipdet.cli.main import command_parser, require
from hipdet.core.errors import ConfigError, DatasetError, one_line
from hipdet.data.validate.check import Expected, validate
from hipdet.data.validate.faults import Fault
from hipdet.visualization.film_pictures import faulty_first, labelled_films
from hipdet.visualization.sheets import write_tiles
from hipdet.visualization.tiles import LABEL, QUIET, PicturedFilm, named

AUGMENTED_FILMS = 8
EXAMPLES = """examples:
  hipdet browse data/annotations/cgoa.json --data-root data                        the first 24 films
  hipdet browse data/annotations/cgoa.json --data-root data --faults --html        films with faults first
  hipdet browse hips.json --data-root FracAtlas --names IMG0000097 --side 800      one film, large
  hipdet browse data/annotations/cgoa_train.json --data-root data --augmented configs/hip_ssd_exp3.py

Boxes are marked with the side of the patient, if it is known, and the class, if there are several.  With --augmented, each
film is followed by draws of the config's training pipeline, as the network gets them; the same seed gives the same draws.
"""


def _parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("browse", __doc__, EXAMPLES)
    add = parser.add_argument
    add("annotations", type=Path, metavar="ANN.json", help="COCO file")
    add("--faults", action="store_true", help="draw films with faults first, errors before warnings")
    add("--augmented", metavar="CONFIG", help="draw films as this config's training pipeline changes them")
    add("--draws", type=int, default=5, metavar="N", help="draws per film, with --augmented")
    add("--seed", type=int, default=0, help="seed of the draws")
    add_picture_arguments(parser, "ANN.png or ANN.html in this folder")
    return parser.parse_args(argv)


def read_labelled_films(path: Path, root: Path) -> tuple[list[PicturedFilm], list[Fault]]:
    """Read films with labels, however faulty, and their faults.

    Raises:
        DatasetError: no film that can be drawn.
    """
    coco, faults = validate(path)
    if coco:  # what is expected depends on the classes
        classes = [category["name"] for category in coco["categories"]]
        coco, faults = validate(path, root, Expected.of_classes(classes), progress=True)
    films = labelled_films(coco, faults, root)
    if not films:
        raise DatasetError(f"{path}: no film to draw; the first fault: {faults[0]}")
    return films, faults


def browse(args: argparse.Namespace) -> str:
    """Draw films with their labels; returns the files written."""
    films, faults = read_labelled_films(args.annotations, image_root(args))
    errors = sum(not fault.warning for fault in faults)
    title = f"{args.annotations.name}: {len(films)} films, {errors} errors, {len(faults) - errors} warnings"
    print(one_line(title))
    if args.faults:
        films = faulty_first(films, faults)
    return write_pictures(args, films, Path(args.annotations.stem), title, strict=False)


def browse_augmented(args: argparse.Namespace) -> str:
    """Draw films and their augmented versions; returns the files written."""
    require(["mm"], "browse --augmented")
    from hipdet.core.configs import read_config
    from hipdet.visualization.augmented import augmented_tiles, training_films  # mmdet is needed for nothing else here

    root = image_root(args)
    dataset = training_films(read_config(args.augmented), args.annotations, root)
    every = read_labelled_films(args.annotations, root)[0]
    films = limited(args, named(every, args.names) if args.names else every, AUGMENTED_FILMS)
    tiles = augmented_tiles(dataset, films, root, args.draws, args.seed, args.side)
    columns = args.draws + 1
    title = f"{args.annotations.name} as {Path(args.augmented).stem} trains on it, seed {args.seed}"
    out = out_file(args, Path(f"{args.annotations.stem}_augmented"))
    bar = tqdm(tiles, "tiles", total=len(films) * columns, disable=None)
    return listed(write_tiles(iter(bar), len(films) * columns, out, [("label", LABEL), (title, QUIET)], columns))


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the films and print the files written."""
    args = _parse_arguments(argv)
    if not args.annotations.is_file():
        raise DatasetError(f"{args.annotations}: no such file: check the path, or make it with hipdet convert")
    if args.augmented and (args.html or args.by_source or args.faults):
        raise ConfigError("--augmented draws sheets: leave out --html, --by-source and --faults")
    if args.draws < 1 or args.seed < 0:
        raise ConfigError(f"--draws {args.draws} --seed {args.seed}: expected at least 1 draw and a seed from 0 up")
    print(f"written: {browse_augmented(args) if args.augmented else browse(args)}")

"""What tools that draw films share: which films, sheets or a page, how large."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hipdet.core.configs import default_root
from hipdet.core.errors import DatasetError
from hipdet.visualization.html_page import write_page
from hipdet.visualization.sheets import write_sheets
from hipdet.visualization.tiles import PicturedFilm, by_source, named

SHEET_FILMS = 24
MOST_LISTED = 4


def add_picture_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the arguments; `out` says where pictures go by default."""
    add = parser.add_argument
    add("--data-root", help="folder that the file names are relative to (default: $HIPDET_DATA, else data)")
    add("--out", type=Path, help=f"file to write (default: {out}); several sheets are numbered")
    add("--html", action="store_true", help="one HTML page with filters and sorting in place of PNG sheets")
    add(
        "--films", type=_count, metavar="N",
        help=f"films to draw, of each data set with --by-source; 0 for all (default: {SHEET_FILMS}, on a page all)",
    )  # fmt: skip
    add("--names", nargs="+", default=[], metavar="PART", help="only films with one of these in their names")
    add(
        "--by-source", action="store_true", help="each data set on its own sheets, or under its own heading of the page"
    )
    add("--columns", type=_positive, default=6, help="films in a row of a sheet (default: %(default)s)")
    add("--side", type=_side, default=320, help="pixels of the long side of a film (default: %(default)s)")


def image_root(args: argparse.Namespace) -> Path:
    """The folder that file names are relative to.

    Raises:
        DatasetError: no such folder.
    """
    root = Path(args.data_root or default_root())
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder of films: say where they are with --data-root")
    return root


def out_file(args: argparse.Namespace, beside: Path) -> Path:
    """The file to write: ``--out``, or `beside` with the suffix of its kind.

    Raises:
        DatasetError: a name of another kind.
    """
    suffix = ".html" if args.html else ".png"
    out: Path = args.out or beside.with_name(beside.name + suffix)
    if out.suffix.lower() != suffix:
        raise DatasetError(f"--out {out}: expected a name that ends in {suffix}")
    return out


def limited(args: argparse.Namespace, films: Sequence[PicturedFilm], most: int) -> Sequence[PicturedFilm]:
    """As many of `films` as ``--films`` asks for, by default `most`; 0 stands for all."""
    return films[: (most if args.films is None else args.films) or None]


def draw(
    args: argparse.Namespace, films: Sequence[PicturedFilm], beside: Path, title: str, strict: bool = True
) -> list[Path]:
    """Choose films as the arguments say and draw them; returns the files written.

    Args:
        args: With what :func:`add_arguments` added.
        films: In the order to draw them.
        beside: File to write, without its suffix, unless ``--out`` says otherwise.
        title: What the films are.
        strict: Whether a film that can't be read is an error.

    Raises:
        DatasetError: nothing to draw, or a name that no film has.
        RadiographError: a film that can't be read.
    """
    root, out = image_root(args), out_file(args, beside)
    films = named(films, args.names) if args.names else films
    groups = by_source(films) if args.by_source else {"": films}
    groups = {source: limited(args, group, 0 if args.html else SHEET_FILMS) for source, group in groups.items()}
    if args.html:
        write_page(
            [film for group in groups.values() for film in group], root, out, title, args.side, strict, args.by_source
        )
        return [out]
    written: list[Path] = []
    for source, path in _outs(groups, out).items():
        heading = f"{title}, {source or 'no data set'}" if args.by_source else title
        written += write_sheets(groups[source], root, path, heading, args.columns, args.side, strict)
    return written


def listed(written: Sequence[Path]) -> str:
    """The files for a message, however many."""
    names = [str(path) for path in written]
    return ", ".join(names) if len(names) <= MOST_LISTED else f"{names[0]} to {names[-1]}, {len(names)} sheets"


def _outs(groups: Mapping[str, Sequence[PicturedFilm]], out: Path) -> dict[str, Path]:
    """Where each group goes: ``gallery_cgoa.png``; names that can't stand in a file's name become numbers."""
    if list(groups) == [""]:
        return {"": out}
    safe = {source: source if re.fullmatch(r"[\w-]{1,60}", source) else "" for source in groups}
    return {
        source: out.with_name(f"{out.stem}_{safe[source] or f'set{number}'}{out.suffix}")
        for number, source in enumerate(groups, 1)
    }


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of films, or 0 for all")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 up")
    return int(text)


def _side(text: str) -> int:
    if not text.isdigit() or not 64 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels from 64 to 4096")
    return int(text)

"""Sheets of films as PNG, like the paper's Figures 2, 5, 6 and appendix E4."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw
from tqdm import tqdm

from hipdet.core.errors import DatasetError, one_line
from hipdet.core.files import replacing
from hipdet.visualization.tiles import (
    BACKGROUND,
    DETECTION,
    LABEL,
    QUIET,
    TEXT,
    PicturedFilm,
    film_tile,
    font,
    font_size,
)

Words = tuple[str, str]  # text and its colour
GAP = 4
FILMS = 48  # per sheet; viewers open larger pictures slowly


def write_sheets(
    films: Sequence[PicturedFilm],
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    title: str = "",
    columns: int = 6,
    side: int = 320,
    strict: bool = True,
) -> list[Path]:
    """Draw films in rows, 48 on a sheet, with one sheet in memory at a time.

    Args:
        films: In the order in which they are drawn.
        root: Folder that their names are relative to.
        out: PNG to write; several sheets are numbered: ``gallery_01.png``, ``gallery_02.png``.
        title: Text above the films.
        columns: Films in a row.
        side: Long side of a film in pixels.
        strict: Whether a film that can't be read is an error; if not, a tile says so.

    Returns:
        Paths of the sheets.

    Raises:
        DatasetError: there are no films.
        RadiographError: a film can't be read.
    """
    if not films:
        raise DatasetError("no film to draw")
    tiles = (film_tile(film, Path(root), side, strict) for film in tqdm(films, "films", unit="film", disable=None))
    return write_tiles(tiles, len(films), Path(out), (*build_legend(films), (title, QUIET)), columns)


def build_legend(films: Iterable[PicturedFilm]) -> list[Words]:
    """Explains the boxes and numbers on `films`."""
    kinds = {mark.detected for film in films for mark in film.marks}
    numbers = {(False, True): "IoU (score)", (True,): "score"}.get(tuple(sorted(kinds)), "")
    boxes = [("label", LABEL)] * (False in kinds) + [("detection", DETECTION)] * (True in kinds)
    return [*boxes, (numbers, TEXT)]


def write_tiles(
    tiles: Iterator[Image.Image], count: int, out: Path, heading: Sequence[Words], columns: int
) -> list[Path]:
    """Arrange `count` tiles of equal width on sheets, as :func:`write_sheets` does, below a `heading` of coloured words."""
    columns = min(columns, count)
    on_sheet = max(1, FILMS // columns) * columns
    sheets = -(-count // on_sheet)
    digits = max(2, len(str(sheets)))
    paths = []
    for number in range(1, sheets + 1):
        path = out if sheets == 1 else out.with_name(f"{out.stem}_{number:0{digits}}{out.suffix}")
        part = [(f"sheet {number} of {sheets}", QUIET)] if sheets > 1 else []
        with replacing(path) as temporary:
            _sheet(list(islice(tiles, on_sheet)), [*heading, *part], columns).save(temporary, format="PNG")
        paths.append(path)
    return paths


def _sheet(tiles: Sequence[Image.Image], heading: Sequence[Words], columns: int) -> Image.Image:
    """Tiles in rows; each row is as high as its highest tile."""
    width = tiles[0].width + GAP
    size = max(12, font_size(tiles[0].width))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    sheet = Image.new("RGB", (columns * width, 2 * size + sum(heights)), BACKGROUND)
    _write_heading(ImageDraw.Draw(sheet), heading, size)
    for number, row in enumerate(rows):
        top = 2 * size + sum(heights[:number])
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * width + GAP // 2, top + GAP // 2))
    return sheet


def _write_heading(draw: ImageDraw.ImageDraw, heading: Sequence[Words], size: int) -> None:
    letters, x = font(size), 2.0 * GAP
    for text, colour in heading:
        if text:
            text = one_line(text)
            draw.text((x, size // 2), text, fill=colour, font=letters)
            x += draw.textlength(text, font=letters) + size

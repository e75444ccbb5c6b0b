"""One film with its boxes as a small picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hipdet.errors import DatasetError, HipdetError
from hipdet.radiograph import read_radiograph
from hipdet.visualization.colours import BACKGROUND, DETECTION, LABEL, OUTLINE, QUIET, TEXT
from hipdet.visualization.pictured_film import Mark, PicturedFilm

NOTHING_SEEN = "can't be read"


def font_size(side: int) -> int:
    """Of the text on a tile of `side` pixels: small, and never too small to read."""
    return max(10, side // 26)


def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font.

    Raises:
        DatasetError: a Pillow without FreeType, which can't write at a size.
    """
    made = ImageFont.load_default(size)
    if not isinstance(made, ImageFont.FreeTypeFont):
        raise DatasetError("this Pillow can't write text: install one with FreeType, as from PyPI")
    return made


def caption_height(side: int) -> int:
    """Pixels below the film for its name: no text but the figures lies over it."""
    return 3 * font_size(side) // 2


def shrunk(film: Image.Image, side: int) -> tuple[Image.Image, float]:
    """`film` with a long side of `side` pixels, and by how much it was scaled."""
    scale = side / max(film.size)
    size = max(1, round(film.width * scale)), max(1, round(film.height * scale))
    return film.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), scale


def film_tile(film: PicturedFilm, root: Path, side: int, strict: bool = True) -> Image.Image:
    """The film with its boxes on a tile `side` pixels wide, its name and flags below.

    Args:
        film: What to draw.
        root: Folder that its name is relative to.
        side: Pixels of the long side of the film.
        strict: Whether a film that can't be read is an error, and not a tile that says so.

    Raises:
        RadiographError: a film that can't be read.
        DatasetError: a name that leads out of `root`.
    """
    flags = film.flags
    try:
        picture, scale = shrunk(Image.fromarray(read_radiograph(film.path(root))), side)
    except HipdetError:
        if strict:
            raise
        picture, scale, flags = Image.new("L", (1, 1)), 0.0, (NOTHING_SEEN, *flags)
    return marked_tile(picture, scale, film.marks if scale else (), (film.short_name, film.source, *flags), side)


def marked_tile(
    picture: Image.Image, scale: float, marks: tuple[Mark, ...], caption: tuple[str, ...], side: int
) -> Image.Image:
    """`picture`, which was scaled by `scale`, with `marks` of the unscaled one and `caption`, its first part bright."""
    height = max(picture.height, font_size(side))
    tile = Image.new("RGB", (side, height + caption_height(side)), BACKGROUND)
    tile.paste(picture.convert("RGB"))
    draw = ImageDraw.Draw(tile)
    letters = font(font_size(side))
    line = max(1, side // 320)
    for mark in marks:
        box = [round(scale * value) for value in mark.box]
        draw.rectangle(box, outline=DETECTION if mark.detected else LABEL, width=line)
    for mark in marks:
        _write_beside(draw, mark, [scale * value for value in mark.box], letters, (side, height))
    _write_caption(draw, caption, letters, (side, height))
    return tile


def _write_beside(
    draw: ImageDraw.ImageDraw, mark: Mark, box: list[float], letters: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    """The text of a label below it, of a detection above it, kept inside the tile."""
    if not mark.text:
        return
    _, _, width, height = draw.textbbox((0, 0), mark.text, font=letters, stroke_width=2)
    x = min(max(0.0, box[0]), size[0] - width)
    y = box[1] - height - 2 if mark.detected else box[3] + 2
    place = x, min(max(0.0, y), size[1] - height)
    draw.text(place, mark.text, fill=TEXT, font=letters, stroke_width=2, stroke_fill=OUTLINE)


def _write_caption(
    draw: ImageDraw.ImageDraw, caption: tuple[str, ...], letters: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    x, space = 2.0, letters.size / 2
    for text, colour in zip(filter(None, caption), (TEXT, *[QUIET] * len(caption))):
        while text and x + draw.textlength(text, font=letters) > size[0]:
            text = text[:-2] + "\N{HORIZONTAL ELLIPSIS}" if len(text) > 2 else ""
        draw.text((x, size[1] + 2), text, fill=colour, font=letters)
        x += draw.textlength(text, font=letters) + space

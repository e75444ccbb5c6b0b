"""Films to draw: their boxes, their order, and the tile, which is a small picture of a film with its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hipdet.core.errors import DatasetError, HipdetError, one_line
from hipdet.core.files import path_below
from hipdet.data.validate.structure import file_name_fault
from hipdet.radiographs.read import read_radiograph

Box = tuple[float, float, float, float]
LONGEST_CAPTION = 300  # characters; a tile shows fewer


@dataclass(frozen=True)
class Mark:
    """A box to draw.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in pixels of the upright film.
        detected: Whether it is a detection; if not, it is a label.
        text: Text beside it.
    """

    box: Box
    detected: bool
    text: str = ""

    @property
    def side(self) -> float:
        """The longer side in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@dataclass(frozen=True)
class PicturedFilm:
    """One film with its boxes.

    Attributes:
        file_name: Relative to the image root, with ``/``.
        source: Data set it comes from; empty if unknown.
        marks: Boxes, labels before detections.
        iou: Lowest IoU of its ROIs; None if they weren't compared with detections.
        score: Lowest score of its detections; None without detections.
        flags: Short names of its faults and peculiarities.
        notes: Sentences that explain them.
    """

    file_name: str
    source: str = ""
    marks: tuple[Mark, ...] = ()
    iou: float | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """File name without its folders."""
        return self.file_name.rpartition("/")[2]

    def roi_side(self) -> float:
        """Mean longer side of the labels in pixels, or of the detections if there are no labels; 0 without boxes."""
        labels = [mark.side for mark in self.marks if not mark.detected]
        sides = labels or [mark.side for mark in self.marks]
        return sum(sides) / len(sides) if sides else 0.0

    def path(self, root: Path) -> Path:
        """The path of the film below `root`.

        Raises:
            DatasetError: the name leads out of `root`.
        """
        if fault := file_name_fault(self.file_name):
            raise DatasetError(f"file_name {fault}, expected a path below the data root")
        return path_below(root, self.file_name)


def worst_first(films: Sequence[PicturedFilm]) -> list[PicturedFilm]:
    """Sort by rising IoU; without labels: films without detections first, then by most flags, then by rising score."""

    def badness(film: PicturedFilm) -> tuple[float, int, float, str]:
        score = -1.0 if film.score is None else film.score
        iou = -1.0 if film.iou is None and film.score is None else film.iou or 0.0
        return iou, -len(film.flags), score, film.file_name

    return sorted(films, key=badness)


def below(films: Sequence[PicturedFilm], iou: float) -> list[PicturedFilm]:
    """Films with an ROI whose IoU is below `iou`.

    Raises:
        DatasetError: the films weren't compared with labels.
    """
    if films and all(film.iou is None for film in films):
        raise DatasetError(f"--below {iou} needs labels to compare with: give their COCO file with --ann")
    return [film for film in films if film.iou is not None and film.iou < iou]


def named(films: Sequence[PicturedFilm], parts: Sequence[str]) -> list[PicturedFilm]:
    """Films whose names contain one of `parts`, in the order of `parts`, without repeats.

    Raises:
        DatasetError: no name contains one of the parts.
    """
    chosen: dict[str, PicturedFilm] = {}
    for part in parts:
        found = {film.file_name: film for film in films if part in film.file_name}
        if not found:
            raise DatasetError(f"--names {part}: none of the {len(films)} film names contains it")
        chosen = {**chosen, **found}
    return list(chosen.values())


def by_source(films: Sequence[PicturedFilm]) -> dict[str, list[PicturedFilm]]:
    """Films by data set; the data sets are sorted by name, the films of each keep their order."""
    groups: dict[str, list[PicturedFilm]] = {}
    for film in films:
        groups.setdefault(film.source, []).append(film)
    return dict(sorted(groups.items()))


LABEL, DETECTION = "#ffd400", "#ff2020"  # the paper's yellow and red
TEXT, QUIET, OUTLINE, BACKGROUND = "#ffffff", "#a0a0a0", "#000000", "#181818"
GRID, RANGE = "#40c0ff", "#d02020"
BARS, QUIET_LINE = "#1f77b4", "#808080"

UNREADABLE = "can't be read"


def font_size(side: int) -> int:
    """Size in pixels of the text on a tile of `side` pixels: small but readable."""
    return max(10, side // 26)


def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's default font.

    Raises:
        DatasetError: Pillow lacks FreeType and can't scale the font.
    """
    made = ImageFont.load_default(size)
    if not isinstance(made, ImageFont.FreeTypeFont):
        raise DatasetError("the installed Pillow has no FreeType and can't write text: install Pillow from PyPI")
    return made


def caption_height(side: int) -> int:
    """Height in pixels of the caption, which is below the film so that it doesn't cover it."""
    return 3 * font_size(side) // 2


def shrunk(film: Image.Image, side: int) -> tuple[Image.Image, float]:
    """`film` scaled to a long side of `side` pixels, and the scale factor."""
    scale = side / max(film.size)
    size = max(1, round(film.width * scale)), max(1, round(film.height * scale))
    return film.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), scale


def film_tile(film: PicturedFilm, root: Path, side: int, strict: bool = True) -> Image.Image:
    """The film with its boxes on a tile `side` pixels wide, its name and flags below.

    Args:
        film: Film to draw.
        root: Folder that its name is relative to.
        side: Long side of the film in pixels.
        strict: Whether a film that can't be read is an error; if not, the tile says so.

    Raises:
        RadiographError: the film can't be read.
        DatasetError: its name leads out of `root`.
    """
    flags = film.flags
    try:
        picture, scale = shrunk(Image.fromarray(read_radiograph(film.path(root))), side)
    except HipdetError:
        if strict:
            raise
        picture, scale, flags = Image.new("L", (1, 1)), 0.0, (UNREADABLE, *flags)
    return marked_tile(picture, scale, film.marks if scale else (), (film.short_name, film.source, *flags), side)


def marked_tile(
    picture: Image.Image, scale: float, marks: tuple[Mark, ...], caption: tuple[str, ...], side: int
) -> Image.Image:
    """Tile of `picture` with `marks`, in pixels before its scaling by `scale`, and `caption`, whose first part is bright."""
    height = max(picture.height, font_size(side))
    tile = Image.new("RGB", (side, height + caption_height(side)), BACKGROUND)
    tile.paste(picture.convert("RGB"))
    draw = ImageDraw.Draw(tile)
    letters = font(font_size(side))
    line = max(1, side // 320)
    # far outside the tile, where Pillow can't draw, any place will do
    boxes = [[min(max(scale * value, -side), 2 * side) for value in mark.box] for mark in marks]
    for mark, box in zip(marks, boxes):
        draw.rectangle([*map(round, box)], outline=DETECTION if mark.detected else LABEL, width=line)
    for mark, box in zip(marks, boxes):
        _write_beside(draw, mark, box, letters, (side, height))
    _write_caption(draw, caption, letters, (side, height))
    return tile


def _write_beside(
    draw: ImageDraw.ImageDraw, mark: Mark, box: list[float], letters: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    """Write the text of a label below it, that of a detection above it, always inside the tile."""
    if not mark.text:
        return
    text = one_line(mark.text)
    _, _, width, height = draw.textbbox((0, 0), text, font=letters, stroke_width=2)
    x = min(max(0.0, box[0]), size[0] - width)
    y = box[1] - height - 2 if mark.detected else box[3] + 2
    place = x, min(max(0.0, y), size[1] - height)
    draw.text(place, text, fill=TEXT, font=letters, stroke_width=2, stroke_fill=OUTLINE)


def _write_caption(
    draw: ImageDraw.ImageDraw, caption: tuple[str, ...], letters: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    x, space = 2.0, letters.size / 2
    for text, colour in zip(filter(None, caption), (TEXT, *[QUIET] * len(caption))):
        text = one_line(text)[:LONGEST_CAPTION]
        while text and x + draw.textlength(text, font=letters) > size[0]:
            text = text[:-2] + "\N{HORIZONTAL ELLIPSIS}" if len(text) > 2 else ""
        draw.text((x, size[1] + 2), text, fill=colour, font=letters)
        x += draw.textlength(text, font=letters) + space

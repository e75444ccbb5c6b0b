"""Crops of ROIs as files for a second stage: square windows at the film's resolution, and how they map to the film."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hipdet.core.boxes import as_boxes, xywh_to_xyxy
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import film_below, replacing
from hipdet.core.records import read_json
from hipdet.radiographs.read import read_deep, read_radiograph
from hipdet.radiographs.sniff import short_name


@dataclass(frozen=True)
class CropWindow:
    """A square of whole pixels, which may reach over the edges of its film.

    Attributes:
        x0: Left edge in pixels of the film.
        y0: Top edge in pixels of the film.
        side: Length of a side in pixels.
    """

    x0: int
    y0: int
    side: int

    @classmethod
    def around(cls, box: ArrayLike, margin: float) -> CropWindow:
        """The window around `box` ``(x0, y0, x1, y1)``, with `margin` times its longer side added on every side."""
        x0, y0, x1, y1 = as_boxes(box)[0].tolist()
        side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)))
        return cls(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)

    def cut(self, film: NDArray[Any]) -> NDArray[Any]:
        """The part of `film` ``[H, W]`` in the window, ``[side, side]``; black outside the film."""
        inside = film[max(self.y0, 0) : max(self.y0 + self.side, 0), max(self.x0, 0) : max(self.x0 + self.side, 0)]
        left, top = max(-self.x0, 0), max(-self.y0, 0)
        crop = np.zeros((self.side, self.side), film.dtype)
        crop[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return crop


COLUMNS = (
    "crop", "film", "x0", "y0", "x1", "y1", "scale", "turned", "inverted", "label", "picture_side", "patient_side", "score",
)  # fmt: skip
LONGEST_LABEL = 100  # letters: the label becomes part of a file's name
_STAMP = "hipdet crop, "
_HEAD = 256  # bytes at the start of a PNG, in which the stamp begins
_NO_NAME = re.compile(r"[^\w.-]+")  # allowed in class names, but replaced in file names
_NEEDED = ("file_name", "bbox", "score", "label", "picture_side", "patient_side", "turned", "inverted")


@dataclass(frozen=True)
class CropSettings:
    """How crops are made.

    Attributes:
        margin: Margin on every side, as a multiple of the ROI's side.
        size: Side in pixels to which every crop is resampled; None for the film's own resolution.
        depth: Bits per pixel, 8 or 16.
        as_stored: Leave rotated and inverted films as they are; by default their crops are upright, with bright bone.
    """

    margin: float = 0.2
    size: int | None = None
    depth: int = 8
    as_stored: bool = False


@dataclass(frozen=True)
class RoiCrop:
    """One crop: its file below the output folder, its window on the film, and its row of predictions.json."""

    name: str
    window: CropWindow
    row: Mapping[str, Any]


def crops_by_film(predictions: Path, settings: CropSettings) -> dict[str, list[RoiCrop]]:
    """The crops to make for the rows of a ``predictions.json``, by film.

    Their names are ``<film>_<class>[_<side>][_<n>].png``.  The side is the patient's, and is left out if it isn't known;
    crops of a film that would have the same name are numbered from 1, the best first.

    Raises:
        DatasetError: the file can't be read, or a row wasn't written by hipdet predict.
    """
    content = read_json(predictions, "predictions.json of hipdet predict")
    if not isinstance(content, list):
        raise DatasetError(f"{predictions}: expected a list of detections, as hipdet predict writes it")
    films: dict[str, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(content, 1):
        _require_row(row, predictions, number)
        films.setdefault(row["file_name"], []).append(row)
    short = Counter(short_name(name) for name in films)
    made = {}
    for film, rows in films.items():
        stem = short_name(film) if short[short_name(film)] == 1 else film  # as a.jpg and a.png would share a stem
        made[film] = list(_crops_of_film(stem, rows, settings))
    names = Counter(crop.name.lower() for crops in made.values() for crop in crops)  # unique where case is ignored
    if twice := [name for name, count in names.items() if count > 1]:
        raise DatasetError(f"{predictions}: two crops would be named {twice[0]}: rename one of the films")
    return made


def write_crops(film: Path, crops: Sequence[RoiCrop], out: Path, settings: CropSettings) -> None:
    """Write the crops of one film that don't exist yet.

    Raises:
        RadiographError: the film can't be read, or doesn't have the size that hipdet predict recorded.
    """
    missing = [crop for crop in crops if not _is_there(out / crop.name, _stamp(crop, settings), film)]
    if not missing:
        return
    pixels = read_deep(film) if settings.depth == 16 else read_radiograph(film)
    for crop in missing:
        size = crop.row.get("width", pixels.shape[1]), crop.row.get("height", pixels.shape[0])
        if size != pixels.shape[::-1]:
            raise RadiographError(
                f"{pixels.shape[1]}x{pixels.shape[0]} px, expected {size[0]}x{size[1]} px as predicted: predict it again",
                str(film),
            )
        stamp = PngInfo()
        stamp.add_text("Comment", _stamp(crop, settings))
        with replacing(out / crop.name) as temporary:
            Image.fromarray(finished(crop, pixels, settings)).save(temporary, format="PNG", pnginfo=stamp)


def finished(crop: RoiCrop, film: NDArray[Any], settings: CropSettings) -> NDArray[Any]:
    """Cut the crop from `film` ``[H, W]``, then invert, rotate and resample it as `settings` say."""
    pixels = crop.window.cut(film)
    if not settings.as_stored:
        if crop.row["inverted"]:
            pixels = crop.window.cut(np.iinfo(film.dtype).max - film)  # black outside the film, as before
        pixels = np.rot90(pixels, crop.row["turned"] // 90)
    if settings.size is not None and settings.size != len(pixels):
        picture = Image.fromarray(pixels.astype(np.float32)).resize((settings.size,) * 2, Image.Resampling.BICUBIC)
        top = np.iinfo(film.dtype).max
        pixels = np.clip(np.rint(np.asarray(picture)), 0, top).astype(film.dtype)
    return np.ascontiguousarray(pixels)


def manifest_row(film: str, crop: RoiCrop, settings: CropSettings) -> tuple[object, ...]:
    """The row of the manifest for `crop` of `film`.

    Pixel (u, v) of a crop that isn't rotated is at ``x0 + u / scale``, ``y0 + v / scale`` on the film.
    """
    window, row = crop.window, crop.row
    corners = window.x0, window.y0, window.x0 + window.side, window.y0 + window.side
    turned, inverted = (0, 0) if settings.as_stored else (row["turned"], int(row["inverted"]))
    scale = round((settings.size or window.side) / window.side, 6)
    return (crop.name, film, *corners, scale, turned, inverted, row["label"], row["picture_side"], row["patient_side"],
            row["score"])  # fmt: skip


def strangers(out: Path, films: Mapping[str, Sequence[RoiCrop]]) -> list[str]:
    """Crops below `out` that `films` doesn't have: named by an earlier hipdet, or of ROIs that are no longer detected."""
    names = {crop.name for crops in films.values() for crop in crops}
    below = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    return [name for name in below if name not in names and _is_crop(out / name)]


def _crops_of_film(stem: str, rows: Sequence[Mapping[str, Any]], settings: CropSettings) -> Iterator[RoiCrop]:
    rows = sorted(rows, key=lambda row: -row["score"])
    names = ["_".join(filter(None, (stem, _NO_NAME.sub("-", row["label"]), row["patient_side"]))) for row in rows]
    count = Counter(name.lower() for name in names)
    seen: Counter[str] = Counter()
    for row, name in zip(rows, names):
        seen[name.lower()] += 1
        number = f"_{seen[name.lower()]}" if count[name.lower()] > 1 else ""
        box = xywh_to_xyxy(row["bbox"])[0]
        yield RoiCrop(f"{name}{number}.png", CropWindow.around(box, settings.margin), row)


def _require_row(row: Any, path: Path, number: int) -> None:
    """Raise DatasetError unless hipdet predict could have written `row`, and its film is inside the root."""
    missing = [name for name in _NEEDED if name not in row] if isinstance(row, dict) else list(_NEEDED)
    if missing:
        raise DatasetError(
            f"{path}: detection {number} has no {missing[0]}, expected predictions.json of hipdet predict"
        )
    film_below(Path(), row["file_name"], f"{path}: detection {number}")
    box = np.asarray(row["bbox"], dtype=object).ravel()
    numbers = all(isinstance(value, (int, float)) for value in box)
    if len(box) != 4 or not numbers or not np.isfinite(box.astype(float)).all() or min(box[2:]) <= 0:
        raise DatasetError(f"{path}: detection {number} has bbox {row['bbox']}, expected [x, y, width, height]")
    if row["turned"] not in (0, 90, 180, 270) or row["patient_side"] not in ("left", "right", ""):
        raise DatasetError(
            f"{path}: detection {number} has turned {row['turned']}, patient_side {row['patient_side']!r}, expected 0, 90, "
            f"180 or 270, and left, right or nothing"
        )
    if not isinstance(row["label"], str) or not 0 < len(row["label"]) <= LONGEST_LABEL:
        raise DatasetError(
            f"{path}: detection {number} has label {str(row['label'])[:LONGEST_LABEL]!r}, expected the name of a class "
            f"of up to {LONGEST_LABEL} letters"
        )


def _stamp(crop: RoiCrop, settings: CropSettings) -> str:
    window = crop.window
    turned = "as stored" if settings.as_stored else f"turned {crop.row['turned']}, inverted {crop.row['inverted']}"
    size = settings.size or "own size"
    return f"{_STAMP}{window.x0} {window.y0} {window.side}, {size}, {settings.depth} bit, {turned}"


def _is_there(path: Path, stamp: str, film: Path) -> bool:
    """Whether the crop at `path` has this stamp and isn't older than the film."""
    try:
        if path.stat().st_mtime < film.stat().st_mtime:
            return False
        with Image.open(path) as crop:
            return bool(crop.info.get("Comment") == stamp)
    except (OSError, SyntaxError, ValueError):  # missing, or with a damaged header
        return False


def _is_crop(path: Path) -> bool:
    """Whether hipdet made the file: the stamp is before the pixels."""
    try:
        with path.open("rb") as file:
            return f"Comment\0{_STAMP}".encode() in file.read(_HEAD)
    except OSError:  # a folder of that name, or an unreadable file
        return False

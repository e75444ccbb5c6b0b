"""Crops of ROIs as files for a second stage: windows at the film's resolution, and how they map to the film."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hipdet.core.boxes import as_boxes, xywh_to_xyxy
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import film_below, name_of, replacing
from hipdet.core.records import MAX_SIDE, Record, read_json, records
from hipdet.inference.detections import LONGEST_LABEL, LONGEST_PATH, SIDES
from hipdet.radiographs.read import read_deep, read_radiograph
from hipdet.radiographs.sniff import short_name


@dataclass(frozen=True)
class CropWindow:
    """A rectangle of whole pixels, which may reach over the edges of its film.

    Attributes:
        x0: Left edge in pixels of the film.
        y0: Top edge in pixels of the film.
        width: Width in pixels.
        height: Height in pixels.
    """

    x0: int
    y0: int
    width: int
    height: int

    @classmethod
    def around(cls, box: ArrayLike, margin: float, tight: bool = False) -> CropWindow:
        """The window around `box` ``(x0, y0, x1, y1)``.

        It is a square with `margin` times the box's longer side added on every side.  If `tight`, it is the box itself, with
        `margin` times its width and height added.
        """
        x0, y0, x1, y1 = as_boxes(box)[0].tolist()
        if tight:
            across, down = margin * (x1 - x0), margin * (y1 - y0)
            left, top, right, bottom = round(x0 - across), round(y0 - down), round(x1 + across), round(y1 + down)
            return cls(left, top, max(1, right - left), max(1, bottom - top))
        side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)))
        return cls(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side, side)

    @property
    def longer(self) -> int:
        """The longer side in pixels."""
        return max(self.width, self.height)

    def cut(self, film: NDArray[Any]) -> NDArray[Any]:
        """The part of `film` ``[H, W]`` in the window, ``[height, width]``; black outside the film."""
        right, bottom = max(self.x0 + self.width, 0), max(self.y0 + self.height, 0)
        inside = film[max(self.y0, 0) : bottom, max(self.x0, 0) : right]
        left, top = max(-self.x0, 0), max(-self.y0, 0)
        crop = np.zeros((self.height, self.width), film.dtype)
        crop[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return crop


MANIFEST = "manifest.csv"
COLUMNS = (
    "crop", "film", "x0", "y0", "x1", "y1", "scale", "turned", "inverted", "label", "picture_side", "patient_side", "score",
    "candidate",
)  # fmt: skip
LONGEST_NAME = 220  # bytes of a file's name without number and suffix; file systems take 255
LARGEST = 2  # a box is at most so many times as long as its film: it may reach over the edges, but not fill the memory
_STAMP = "hipdet crop, "
_HEAD = 256  # bytes at the start of a PNG, in which the stamp begins
_NO_NAME = re.compile(r"[^\w.-]+")  # allowed in class names, but replaced in file names


@dataclass(frozen=True)
class CropSettings:
    """How crops are made.

    Attributes:
        margin: Margin on every side, as a multiple of the ROI's side.
        size: Longer side in pixels to which every crop is resampled; None for the film's own resolution.
        depth: Bits per pixel, 8 or 16.
        as_stored: Leave rotated and inverted films as they are; by default their crops are upright, with bright bone.
        tight: Crop the ROI itself; by default its square.
    """

    margin: float = 0.2
    size: int | None = None
    depth: int = 8
    as_stored: bool = False
    tight: bool = False


@dataclass(frozen=True)
class RoiCrop:
    """One crop: its file below the output folder, its window on the film, and its row of predictions.json."""

    name: str
    window: CropWindow
    row: Mapping[str, Any]


def crops_by_film(
    predictions: Path, settings: CropSettings, candidates: bool = False, rows: list[dict[str, Any]] | None = None
) -> dict[str, list[RoiCrop]]:
    """The crops to make for the rows of a ``predictions.json``, by film; of candidates only with `candidates`.

    `rows` are used instead of the file's, if given, such as those of several shards.

    Their names are ``<film>_<class>[_<side>][_<n>].png``.  The side is the patient's, and is left out if it isn't known;
    crops of a film that would have the same name are numbered from 1, the best first.

    Raises:
        DatasetError: the file can't be read, or a row wasn't written by hipdet predict.
    """
    content = read_json(predictions, "predictions.json of hipdet predict") if rows is None else rows
    remedy = "give predictions.json as hipdet predict wrote it"
    films: dict[str, list[RoiCrop]] = {}
    for row in records(content, f"{predictions}: detection", remedy=remedy):
        crop = _crop_of(row, settings)
        if candidates or not crop.row["candidate"]:
            films.setdefault(crop.row["file_name"], []).append(crop)
    short = Counter(short_name(name) for name in films)
    made: dict[str, list[RoiCrop]] = {}
    for film, crops in films.items():
        stem = short_name(film) if short[short_name(film)] == 1 else film  # as a.jpg and a.png would share a stem
        made[film] = list(_named(stem, crops))
    names = Counter(crop.name.lower() for crops in made.values() for crop in crops)  # unique where case is ignored
    if twice := [name for name, count in names.items() if count > 1]:
        raise DatasetError(f"{predictions}: two crops would be named {twice[0]}: rename one of the films")
    return made


def write_crops(film: Path, crops: Sequence[RoiCrop], out: Path, settings: CropSettings) -> None:
    """Write the crops of one film that don't exist yet.

    Raises:
        RadiographError: the film can't be read, or doesn't have the size that hipdet predict recorded.
    """
    missing = [crop for crop in crops if not _is_there(_file(out, crop.name), _stamp(crop, settings), film)]
    if not missing:
        return
    pixels = read_deep(film) if settings.depth == 16 else read_radiograph(film)
    for crop in missing:
        size = crop.row["width"], crop.row["height"]
        if size != pixels.shape[::-1]:
            raise RadiographError(
                f"{pixels.shape[1]}x{pixels.shape[0]} px, expected {size[0]}x{size[1]} px as predicted: predict it again",
                str(film),
            )
        stamp = PngInfo()
        stamp.add_text("Comment", _stamp(crop, settings))
        with replacing(_file(out, crop.name)) as temporary:
            Image.fromarray(finished(crop, pixels, settings)).save(temporary, format="PNG", pnginfo=stamp)


def finished(crop: RoiCrop, film: NDArray[Any], settings: CropSettings) -> NDArray[Any]:
    """Cut the crop from `film` ``[H, W]``, then invert, rotate and resample it as `settings` say."""
    pixels = crop.window.cut(film)
    if not settings.as_stored:
        if crop.row["inverted"]:
            pixels = crop.window.cut(np.iinfo(film.dtype).max - film)  # black outside the film, as before
        pixels = np.rot90(pixels, crop.row["turned"] // 90)
    if settings.size is not None and settings.size != crop.window.longer:
        height, width = (max(1, round(side * _scale(crop, settings))) for side in pixels.shape)
        picture = Image.fromarray(pixels.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        top = np.iinfo(film.dtype).max
        pixels = np.clip(np.rint(np.asarray(picture)), 0, top).astype(film.dtype)
    return np.ascontiguousarray(pixels)


def manifest_row(film: str, crop: RoiCrop, settings: CropSettings) -> tuple[object, ...]:
    """The row of the manifest for `crop` of `film`.

    Pixel (u, v) of a crop that isn't rotated is at ``x0 + u / scale``, ``y0 + v / scale`` on the film; on the shorter side of
    a resampled crop to half a pixel of the crop.
    """
    window, row = crop.window, crop.row
    corners = window.x0, window.y0, window.x0 + window.width, window.y0 + window.height
    turned, inverted = (0, 0) if settings.as_stored else (row["turned"], int(row["inverted"]))
    scale = round(_scale(crop, settings), 6)
    return (crop.name, film, *corners, scale, turned, inverted, row["label"], row["picture_side"], row["patient_side"],
            row["score"], int(row["candidate"]))  # fmt: skip


def _scale(crop: RoiCrop, settings: CropSettings) -> float:
    return (settings.size or crop.window.longer) / crop.window.longer


def strangers(out: Path, films: Mapping[str, Sequence[RoiCrop]]) -> list[str]:
    """Crops below `out` that `films` doesn't have: named by an earlier hipdet, or of ROIs that are no longer detected."""
    names = {crop.name for crops in films.values() for crop in crops}
    below = sorted((name_of(str(path.relative_to(out))), path) for path in out.rglob("*.png"))
    return [name for name, path in below if name not in names and _is_crop(path)]


def _named(stem: str, crops: Sequence[RoiCrop]) -> Iterator[RoiCrop]:
    """The crops of a film, the best first, with the names of their files."""
    crops = sorted(crops, key=lambda crop: -crop.row["score"])
    *folders, base = stem.split("/")
    folder = "".join(f"{_shortened(each, LONGEST_NAME)}/" for each in folders)
    names = []
    for crop in crops:
        label = _shortened(_NO_NAME.sub("-", crop.row["label"]), LONGEST_NAME // 2)
        tail = "".join(f"_{part}" for part in (label, crop.row["patient_side"]) if part)
        names.append(folder + _shortened(base, LONGEST_NAME - len(tail.encode())) + tail)
    count = Counter(name.lower() for name in names)
    seen: Counter[str] = Counter()
    for crop, name in zip(crops, names):
        seen[name.lower()] += 1
        number = f"_{seen[name.lower()]}" if count[name.lower()] > 1 else ""
        yield replace(crop, name=f"{name}{number}.png")


def _shortened(part: str, most: int) -> str:
    """The `part` of a path; if it has more bytes than `most`, its beginning and a hash of it."""
    data = part.encode()
    if len(data) <= most:
        return part
    digest = hashlib.sha256(data).hexdigest()[:8]
    return f"{data[: most - 9].decode(errors='ignore')}-{digest}"


def _file(out: Path, name: str) -> Path:
    """The file of the crop `name`, UTF-8 whatever the system's encoding."""
    return out / os.fsdecode(name.encode())


def _crop_of(row: Record, settings: CropSettings) -> RoiCrop:
    """The crop for `row`, without the name of its file.

    Raises:
        DatasetError: hipdet predict wouldn't have written such a row, or the film would be outside the root.
    """
    name = row.text("file_name", longest=LONGEST_PATH)
    film_below(Path(), name, row.where)
    entries: dict[str, Any] = dict(
        file_name=PurePosixPath(name).as_posix(),
        width=row.whole("width", 1, MAX_SIDE),
        height=row.whole("height", 1, MAX_SIDE),
        score=row.number("score", 0, 1),
        label=row.text("label", longest=LONGEST_LABEL),
        picture_side=row.one_of("picture_side", SIDES),
        patient_side=row.one_of("patient_side", SIDES),
        turned=row.one_of("turned", (0, 90, 180, 270)),
        inverted=row.flag("inverted"),
        candidate=row.flag("candidate", default=False),  # older files have none
    )
    if not entries["label"]:
        row.refuse("label", "the name of a class")
    return RoiCrop("", _window(row, entries["width"], entries["height"], settings), entries)


def _window(row: Record, width: int, height: int, settings: CropSettings) -> CropWindow:
    """The window of the ROI of `row`, which bounds the memory that its crop takes."""
    longest = LARGEST * max(width, height)
    x, y, w, h = row.box("bbox", farthest=longest)
    if min(w, h) <= 0 or x >= width or y >= height or x + w <= 0 or y + h <= 0:
        row.refuse("bbox", f"[x, y, width, height] of a box that overlaps its film of {width}x{height} px")
    window = CropWindow.around(xywh_to_xyxy([x, y, w, h]), settings.margin, settings.tight)
    if window.longer > MAX_SIDE:
        raise DatasetError(
            f"{row.where}: its crop would have {window.longer} px a side, expected at most {MAX_SIDE}: lower --margin"
        )
    return window


def _stamp(crop: RoiCrop, settings: CropSettings) -> str:
    window = crop.window
    turned = "as stored" if settings.as_stored else f"turned {crop.row['turned']}, inverted {crop.row['inverted']}"
    size = settings.size or "own size"
    extent = window.width if window.width == window.height else f"{window.width}x{window.height}"
    return f"{_STAMP}{window.x0} {window.y0} {extent}, {size}, {settings.depth} bit, {turned}"


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

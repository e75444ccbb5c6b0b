"""A sheet of films with labels in yellow and detections in red, the worst film first (paper, figure 6 and appendix E4)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from hipdet.errors import DatasetError
from hipdet.evaluation.roi_table import CORNERS, FOUND_CORNERS
from hipdet.files import replacing
from hipdet.radiograph import read_radiograph

LABEL, DETECTION, TEXT = "#ffd400", "#ff2020", "#ffffff"
Row = Mapping[str, Any]


def films_worst_first(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of RoiMetric's table grouped by film, the film with the lowest IoU first."""
    films: dict[int, list[Row]] = {}
    for row in rows:
        films.setdefault(row["image_id"], []).append(row)
    return sorted(films.values(), key=lambda film: (min(row["iou"] for row in film), film[0]["image_id"]))


def draw_film(rows: Sequence[Row], extras: Sequence[Row], path: Path, side: int) -> Image.Image:
    """One film fitted into a square of `side` pixels with its boxes, IoU and score; `extras` found no label."""
    film = Image.fromarray(read_radiograph(path))
    scale = side / max(film.size)
    film = film.resize((max(1, round(film.width * scale)), max(1, round(film.height * scale))), Image.Resampling.BOX)
    tile = Image.new("RGB", (side, side))
    tile.paste(film.convert("RGB"))
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(max(9, side // 24))
    line = max(1, side // 150)
    for row in rows:
        draw.rectangle([scale * row[key] for key in CORNERS], outline=LABEL, width=line)
        found = [row[key] for key in FOUND_CORNERS]
        text = "not found"
        if None not in found:
            draw.rectangle([scale * value for value in found], outline=DETECTION, width=line)
            text = f"{row['iou']:.2f} ({row['confidence']:.2f})"
        place = (min(scale * row["x0"], side - 6 * side // 24), min(scale * row["y1"] + line, side - side // 16))
        draw.text(place, text, fill=TEXT, font=font, stroke_width=1, stroke_fill="black")
    for row in extras:
        draw.rectangle([scale * row[key] for key in FOUND_CORNERS], outline=DETECTION, width=line)
        place = (scale * row["found_x0"], max(0, scale * row["found_y0"] - side // 18))
        draw.text(place, f"extra ({row['confidence']:.2f})", fill=TEXT, font=font, stroke_width=1, stroke_fill="black")
    draw.text((2, 1), rows[0]["source"], fill=TEXT, font=font, stroke_width=1, stroke_fill="black")
    return tile


def write_gallery(
    table: Mapping[str, Sequence[Row]],
    image_root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    films: int = 24,
    columns: int = 6,
    side: int = 320,
) -> int:
    """Draw the `films` worst films of RoiMetric's table on one PNG sheet.

    Args:
        table: ``rois`` and ``extras`` of ``*.roi.json``; boxes in pixels of the film.
        image_root: Folder that the rows' file names are relative to.
        out: PNG to write.
        films: At most so many films; 0 for all.
        columns: Films in a row.
        side: Pixels of a film's square.

    Returns:
        Number of films drawn.

    Raises:
        DatasetError: no rows.
        RadiographError: a film that can't be read.
    """
    chosen = films_worst_first(table["rois"])[: films or None]
    if not chosen:
        raise DatasetError("no ROI to draw: the table is empty")
    extras: dict[int, list[Row]] = {}
    for row in table.get("extras", ()):
        extras.setdefault(row["image_id"], []).append(row)
    columns = min(columns, len(chosen))
    sheet = Image.new("RGB", (columns * side, -(-len(chosen) // columns) * side), "#202020")
    for index, film in enumerate(tqdm(chosen, desc="gallery", unit="film")):
        tile = draw_film(film, extras.get(film[0]["image_id"], ()), Path(image_root) / film[0]["file_name"], side - 4)
        sheet.paste(tile, (index % columns * side + 2, index // columns * side + 2))
    with replacing(out) as path:
        sheet.save(path, format="PNG")
    return len(chosen)

"""Films as one self-contained HTML page: small pictures, boxes as sharp lines over them, filters and sorting.

The page loads nothing from elsewhere, and a strict content security policy enforces that.  It holds films as blocks of JSON,
which browsers don't run; text from files is inserted as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from tqdm import tqdm

from hipdet.core.errors import DatasetError, HipdetError, RadiographError
from hipdet.core.files import replacing
from hipdet.radiographs.read import read_radiograph
from hipdet.visualization.tiles import UNREADABLE, PicturedFilm, shrunk

PARTS = Path(__file__).with_name("page_files")
JPEG_QUALITY = 80


def write_page(
    films: Sequence[PicturedFilm],
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    title: str,
    side: int = 320,
    strict: bool = True,
    grouped: bool = False,
) -> None:
    """Write the page film by film, with one film in memory at a time.

    Args:
        films: In the order in which the page first shows them.
        root: Folder that their names are relative to.
        out: HTML file to write.
        title: Title of the page.
        side: Largest long side of the pictures in pixels; boxes stay sharp at any zoom.
        strict: Whether a film that can't be read is an error; if not, a frame says so.
        grouped: Whether the page first shows the films grouped by data set.

    Raises:
        DatasetError: there are no films.
        RadiographError: a film can't be read.
    """
    if not films:
        raise DatasetError("no film to draw")
    blocks = (_block(film, Path(root), side, strict) for film in tqdm(films, "films", unit="film", disable=None))
    script = (PARTS / "gallery.js").read_text(encoding="utf-8")
    with replacing(out) as path, path.open("w", encoding="utf-8", newline="\n") as page:
        page.writelines(fill_page("gallery", title=title, script=script, grouped=grouped, films=blocks))


def fill_page(name: str, filters: Mapping[str, Callable] = {}, css: str = "", **values: Any) -> Iterator[str]:
    """The pieces of a page that stands alone: the template ``<name>.html`` with its style ``<css>.css``.

    Args:
        name: Name of the template; text that it takes from `values` is escaped.
        filters: Filters of the template, besides ``number`` and ``share``.
        css: Name of the style, if it isn't that of the template.
        **values: What it shows: ``title``, perhaps a ``script``, and what else is in it.
    """
    pages = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters.update(filters, policy_hash=_policy_hash, number=_number, share=_share)
    style = (PARTS / f"{css or name}.css").read_text(encoding="utf-8")
    given = dict(script="", style=style, date=f"{datetime.now():%Y-%m-%d}")
    return pages.get_template(f"{name}.html").generate(given | values)


def _number(value: float | None, digits: int = 3, sign: str = "") -> str:
    return "\N{EN DASH}" if value is None else f"{value:{sign}.{digits}f}"


def _share(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.1%}"


def embedded(content: bytes, kind: str) -> str:
    """The address of a picture that is in the page itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def embedded_plot(write: Callable[[Path], None]) -> str:
    """The address of the SVG file that `write` writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plot.svg"
        write(path)
        return embedded(path.read_bytes(), "image/svg+xml")


def _policy_hash(text: str) -> str:
    """What a content security policy calls the style or script `text`."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _block(film: PicturedFilm, root: Path, side: int, strict: bool) -> str:
    """The film as JSON in which no text can close the script element."""
    text = json.dumps(_record(film, root, side, strict), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _record(film: PicturedFilm, root: Path, side: int, strict: bool) -> dict[str, Any]:
    record: dict[str, Any] = dict(
        name=film.file_name,
        source=film.source,
        iou=film.iou,
        score=film.score,
        flags=list(film.flags),
        notes=list(film.notes),
        marks=[dict(box=[round(v, 2) for v in m.box], detected=m.detected, text=m.text) for m in film.marks],
    )
    try:
        picture = Image.fromarray(read_radiograph(film.path(root)))
    except HipdetError as error:
        if strict:
            raise
        record["flags"].append(UNREADABLE)
        record["notes"].append(error.reason if isinstance(error, RadiographError) else str(error))
        return dict(record, width=1, height=1, roi=0, jpeg="")
    long_side = max(picture.size)
    small = shrunk(picture, min(side, long_side))[0]
    jpeg = io.BytesIO()
    small.save(jpeg, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return dict(
        record,
        width=picture.width,
        height=picture.height,
        roi=round(film.roi_side() / long_side, 4),
        jpeg=base64.b64encode(jpeg.getvalue()).decode(),
    )

"""Every fault between the annotations and the films on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.errors import RadiographError
from hipdet.radiograph import RadiographHeader, read_header
from hipdet.validation.fault import Faults
from hipdet.validation.records import file_name_fault


def check_films(images: Iterable[dict[str, Any]], root: Path, faults: Faults, progress: bool) -> None:
    """Films are there, whole as far as their headers and ends show it, and of the declared upright size.

    Headers and ends are read, not the pixels: thousands of JPEGs take a second.  Image records that are faulty themselves are
    passed over.

    Args:
        images: Image records.
        root: What file names are below.
        faults: Where faults go.
        progress: Whether to show a bar, on a terminal.
    """
    if not root.is_dir():
        faults.error("root-missing", "", f"image root {root}", "a folder", "check data_root and data_prefix")
        return
    for image in tqdm(images, "films", unit="film", disable=None if progress else True):
        name = image.get("file_name")
        if file_name_fault(name) is None:
            _check_film(root / str(name), image, faults)


def _check_film(path: Path, image: dict[str, Any], faults: Faults) -> None:
    where, name = f"image {image.get('id')}", image["file_name"]
    if not path.is_file():
        faults.error(
            "film-missing", where, "no such film", f"a film at {path}", "check the image root, or drop it", name
        )
        return
    try:
        header = read_header(path)
    except RadiographError as error:
        found, _, mend = error.reason.partition(": ")
        faults.error("film-unreadable", where, found, "a readable film", mend or "export it again", name)
        return
    _check_size(header, (image.get("width"), image.get("height")), where, name, faults)


def _check_size(header: RadiographHeader, declared: tuple[Any, Any], where: str, name: str, faults: Faults) -> None:
    upright = header.upright
    found, expected = f"{declared[0]}x{declared[1]} declared", f"{upright[0]}x{upright[1]}, the upright film's size"
    if declared != upright and declared == header.stored:
        mend = "EXIF orientation was ignored when it was labelled: turn its boxes to the upright film"
        faults.error("size-not-upright", where, found, expected, mend, name)
    elif declared != upright:
        faults.error("size-differs", where, found, expected, "label this very file, not a resized or turned copy", name)
    elif header.orientation != 1 and header.stored == upright:
        found = f"EXIF orientation {header.orientation}, which leaves the size as it is"
        mend = "look at the film: a tool that ignores EXIF would have labelled it turned over"
        faults.warn("orientation-unclear", where, found, "boxes of the upright film", mend, name)

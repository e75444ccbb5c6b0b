"""GIS: films that an image search found, as a test set (paper, 2.1 and appendix)."""

from __future__ import annotations

from pathlib import Path

from hipdet.data.candidates import Found
from hipdet.data.sources.folder import find_folder

SOURCE = "gis"
# px; the paper's text drops films below 255, but its table has one of 225
MIN_SIDE = 225


def find_gis(root: Path, exclude: Path | None = None, table: Path | None = None) -> Found:
    """The films of a folder but those that a person excluded.

    Args:
        root: Folder of films.
        exclude: Table ``film, reason`` of films that aren't to be used: children, drawings and bandages over the hip in the
            paper; ``root/exclude.csv`` if there is one.
        table: Table ``film, patient`` where patients are known; otherwise each film counts as one.

    Raises:
        DatasetError: no films, or the list of faults of a table.
    """
    listed = root / "exclude.csv"
    exclude = exclude or (listed if listed.is_file() else None)
    return find_folder(root, SOURCE, table=table, exclude=exclude)

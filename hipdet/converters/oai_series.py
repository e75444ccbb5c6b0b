"""The X-ray series of the Osteoarthritis Initiative on disk or in its zips.

``<visit>/<release>/<participant, 7 digits>/<yyyymmdd>/<series, 8 digits>/001`` is the DICOM film, and
``<series>_1x1.jpg`` beside the folder its preview; series of X-rays begin with 0.  Some archives unpack doubly nested
(``48m/48m/``).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hipdet.collection.stored_file import StoredFile, files_below

VISITS = ("00m", "12m", "18m", "24m", "30m", "36m", "48m", "72m", "96m")
CONTENTS = "contents.csv"

_VISIT = re.compile(r"\d\dm")
_SERIES = re.compile(r"(?P<participant>\d{7})/(?P<date>\d{8})/(?P<series>0\d{7})(?P<kind>/001|_1x1\.jpg)")
_MR_SERIES = re.compile(r"[1-9]\d{7}")


@dataclass(frozen=True)
class Series:
    """One X-ray series: `folder` is participant/date/series, as ``contents.csv`` has it at the end of ``Folder``."""

    visit: str
    participant: str
    number: str
    folder: str
    dicom: StoredFile | None = None
    preview: StoredFile | None = None


@dataclass(frozen=True)
class Listing:
    """What lies below a root: X-ray series of the selected visits, tables of contents, and the other visits."""

    series: tuple[Series, ...]
    contents: tuple[tuple[str, StoredFile], ...]  # with the visit, "" if the path has none
    other_visits: tuple[str, ...]


def list_oai(root: Path, visits: Collection[str]) -> Listing:
    """List `root`; folders of MR series and of other visits aren't entered, and nothing is opened but zips.

    Raises:
        DatasetError: no such folder, or one or a zip that can't be read.
    """
    others: set[str] = set()
    series: dict[tuple[str, str], Series] = {}
    contents = []

    def keep(folder: str) -> bool:
        last = PurePosixPath(folder).name
        if _VISIT.fullmatch(last) and last not in visits:
            others.add(last)
            return False
        dated = re.fullmatch(r"\d{8}", PurePosixPath(folder).parent.name)
        return not (dated and _MR_SERIES.fullmatch(last))

    for file in files_below(root, zips=True, keep=keep):
        visit = _visit(file, root)
        if visit and visit not in visits:
            others.add(visit)
        elif file.base.lower() == CONTENTS:
            contents.append((visit, file))
        elif match := _SERIES.fullmatch("/".join(PurePosixPath(file.name).parts[-(4 if file.base == "001" else 3) :])):
            folder = f"{match['participant']}/{match['date']}/{match['series']}"
            found = series.get((visit, folder)) or Series(visit, match["participant"], match["series"], folder)
            found = replace(found, dicom=file) if match["kind"] == "/001" else replace(found, preview=file)
            series[visit, folder] = found
    return Listing(tuple(series.values()), tuple(contents), tuple(sorted(others)))


def _visit(file: StoredFile, root: Path) -> str:
    """The last folder, zip or root that is called like a visit; ``""`` without any."""
    parts = [*PurePosixPath(file.name).parts[:-1][::-1], root.name.removesuffix(".zip")]
    return next((part for part in parts if _VISIT.fullmatch(part)), "")

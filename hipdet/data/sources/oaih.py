"""OAIH: AP pelvis films of the Osteoarthritis Initiative (paper, 2.1), from the archive as released: unpacked or in zips.

``<visit>/<release>/<participant, 7 digits>/<yyyymmdd>/<series, 8 digits>/001`` is the DICOM film, and
``<series>_1x1.jpg`` beside that folder is its preview; X-ray series begin with 0.  Some archives unpack into a folder of the
same name twice (``48m/48m/``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hipdet.core.errors import DatasetError, one_line, raise_faults
from hipdet.core.records import shown
from hipdet.core.stored_files import StoredFile, files_below
from hipdet.data.candidates import Candidate, Exclusion, Found
from hipdet.data.formats.parse import FaultLog, LabelFault, decoded, table_rows
from hipdet.radiographs.read import read_dicom_text

SOURCE = "oaih"
VISITS = ("00m", "12m", "18m", "24m", "30m", "36m", "48m", "72m", "96m")
PAPER_VISITS = ("12m", "96m")
ROUTES = ("dicom", "preview")
PELVIS = "AP Pelvis"
CONTENTS = "contents.csv"
LONGEST, SHOWN_KINDS = 64, 10  # characters of a description in DICOM, and how many of them a note lists

_VISIT = re.compile(r"\d\dm")
_SERIES = re.compile(r"(?P<participant>\d{7})/(?P<date>\d{8})/(?P<series>0\d{7})(?P<kind>/001|_1x1\.jpg)")
_MR_SERIES = re.compile(r"[1-9]\d{7}")


@dataclass(frozen=True)
class Series:
    """One X-ray series: `folder` is participant/date/series, the end of ``Folder`` in ``contents.csv``."""

    visit: str
    participant: str
    number: str
    folder: str
    dicom: StoredFile | None = None
    preview: StoredFile | None = None


@dataclass(frozen=True)
class Listing:
    """The contents of a root: X-ray series of the selected visits, tables of contents, and the names of other visits."""

    series: tuple[Series, ...]
    contents: tuple[tuple[str, StoredFile], ...]  # with the visit, "" if the path has none
    other_visits: tuple[str, ...]


def list_oai(root: Path, visits: Collection[str]) -> Listing:
    """List `root`; folders of MR series and of other visits aren't entered, and only zips are opened.

    Raises:
        DatasetError: no such folder, or a folder or zip that can't be read.
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
    """The innermost folder, zip or root that is named as a visit; ``""`` if there is none."""
    parts = [*PurePosixPath(file.name).parts[:-1][::-1], root.name.removesuffix(".zip")]
    return next((part for part in parts if _VISIT.fullmatch(part)), "")


def find_oaih(root: Path, visits: Collection[str] = PAPER_VISITS, route: str = "dicom") -> Found:
    """Find the AP pelvis films of the selected visits; the patient is the participant.

    ``contents.csv`` of a visit says which series show the pelvis; for a series without a row there, the SeriesDescription
    of its DICOM file does.  Previews with neither are all candidates: the labelled ones are converted, as in the paper.

    Args:
        root: Folder of the visits, folder of one visit, or a zip; zips below it are read in place.
        visits: Visits to use, such as ``12m``.
        route: ``dicom`` uses the films, ``preview`` the smaller pictures ``<series>_1x1.jpg`` that the paper used.

    Raises:
        DatasetError: no such folder, unknown visits, no film of this route, or the list of faults of tables of contents.
    """
    unknown = sorted(set(visits) - set(VISITS))
    if unknown or not visits:
        raise DatasetError(f"visits are {', '.join(visits) or 'none'}, expected some of {', '.join(VISITS)}")
    if route not in ROUTES:
        raise DatasetError(f"route is {route!r}, expected one of {', '.join(ROUTES)}")
    listing = list_oai(root, visits)
    described = _descriptions(listing)
    candidates: list[Candidate] = []
    exclusions: list[Exclusion] = []
    others: Counter[str] = Counter()
    for series in listing.series:
        name, other_names = f"{series.visit}/{series.participant}/{series.number}", _other_names(series.number)
        file = series.dicom if route == "dicom" else series.preview
        description = described.pop((series.visit, series.folder), None) or _read_description(series)
        if description not in (PELVIS, None):
            others[str(description)] += 1
        elif file is None:
            exclusions.append(Exclusion(name, f"no {route} file in the archive", other_names))
        elif description is None and route == "dicom":
            exclusions.append(Exclusion(name, f"no description in {CONTENTS} or DICOM", other_names))
        else:
            short = f"{series.participant}_{series.visit}_{series.number}"
            extra = {"visit": series.visit, "original": name}  # without the date of the visit
            candidates.append(Candidate(file, series.participant, short, other_names, extra))
    for (visit, folder), description in described.items():
        if description == PELVIS:
            participant, _, number = folder.split("/")
            reason = f"in {CONTENTS}, but not in the archive"
            exclusions.append(Exclusion(f"{visit}/{participant}/{number}", reason, _other_names(number)))
    if not candidates:
        raise DatasetError(_nothing(root, listing, route, others))
    return Found(tuple(candidates), tuple(exclusions), _notes(listing, others))


def _other_names(series: str) -> tuple[str, ...]:
    """Names of the film in label files, by its series: the file itself is nearly always called ``001``."""
    return series, f"{series}_1x1.jpg"


def _descriptions(listing: Listing) -> dict[tuple[str, str], str]:
    """SeriesDescription by visit and participant/date/series."""
    faults = FaultLog()
    found: dict[tuple[str, str], str] = {}
    for visit, file in listing.contents:
        with faults.at(file.name):
            columns = ("folder", "seriesdescription")
            for row in table_rows(decoded(file.read()), columns, faults, file.name, delimiters=",\t"):
                with faults.at(file.name, row.place):
                    folder = row.text["folder"]
                    parts = folder.replace("\\", "/").strip("/").split("/")
                    if len(parts) < 3:
                        raise LabelFault(f"column Folder is {shown(folder)}, expected .../participant/date/series")
                    participant = row.text.get("participantid") or parts[-3]
                    if participant != parts[-3]:
                        raise LabelFault(
                            f"ParticipantID is {shown(participant)}, expected {shown(parts[-3])} as in Folder"
                        )
                    if parts[-1].startswith("0"):  # X-ray
                        found[visit, "/".join(parts[-3:])] = row.text["seriesdescription"]
    raise_faults("tables of contents", faults.found)
    return found


def _read_description(series: Series) -> str | None:
    file = series.dicom
    return None if file is None else read_dicom_text(file.source(), "SeriesDescription", file.name)


def _notes(listing: Listing, others: Counter[str]) -> tuple[str, ...]:
    notes = []
    if others:
        kinds = [f"{count} x {one_line(description[:LONGEST])}" for description, count in sorted(others.items())]
        listed = ", ".join([*kinds[:SHOWN_KINDS], *(["..."] if len(kinds) > SHOWN_KINDS else [])])
        notes.append(f"series that aren't {PELVIS}: {listed}")
    if listing.other_visits:
        notes.append(f"visits that weren't selected: {', '.join(listing.other_visits)}")
    return tuple(notes)


def _nothing(root: Path, listing: Listing, route: str, others: Counter[str]) -> str:
    other_route = ROUTES[1 - ROUTES.index(route)]
    count = sum(bool(series.dicom if other_route == "dicom" else series.preview) for series in listing.series)
    found = "; ".join(_notes(listing, others)) or f"{len(listing.series)} X-ray series"
    hint = f"; {count} series have a {other_route}: add --route {other_route}" if count else ""
    return f"{root}: no {PELVIS} film by route {route}, found {found}{hint}"

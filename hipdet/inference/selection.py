"""Which films of an archive are predicted: those of a shard, and those whose DICOM header fits."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from hipdet.core.errors import ConfigError, RadiographError
from hipdet.core.files import write_csv
from hipdet.inference.film_list import FilmList, FilmSource, read_ahead
from hipdet.radiographs.read import read_dicom_tags

MOST_SHARDS = 1_000_000
HEADERS = "headers.csv"
HEADER_COLUMNS = ("film", "left_out", "reason")  # 1 or 0; why it is left out, or what isn't known of it
READERS = 8  # threads that read headers, which mostly wait for the disk or the network
SHOWN = 5
_SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")  # what DICOM allows in these tags
_WORD = re.compile(r"[A-Z_]{1,16}")  # what is shown of them: other texts may be a patient's name or number


@dataclass(frozen=True)
class Shard:
    """The part `number`, from 1, of `count` of about the same size.  A film stays in its part when others are added."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that ``K/N`` names.

        Raises:
            ConfigError: it isn't two whole numbers, or K isn't from 1 to N.
        """
        number, count = map(int, found.groups()) if (found := _SHARD.fullmatch(text)) else (0, 0)
        if not 1 <= number <= count <= MOST_SHARDS:
            raise ConfigError(f"--shard {text!r}: expected K/N, from 1/N to N/N, such as 3/64, N up to {MOST_SHARDS:,}")
        return cls(number, count)

    @classmethod
    def of(cls, name: str, count: int) -> Shard:
        """In which of `count` shards the film `name` is: the same on every machine, whatever other films there are."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return cls(int.from_bytes(digest[:8], "big") % count + 1, count)

    @property
    def folder(self) -> str:
        """The name of its folder of results, such as ``shard-03-of-64``."""
        return f"shard-{self.number:0{len(str(self.count))}d}-of-{self.count}"

    def films(self, todo: FilmList) -> FilmList:
        """The films of `todo` that are in the shard, with the ids that they have there."""
        films = {at: source for at, source in todo.films.items() if Shard.of(source.name, self.count) == self}
        return replace(todo, films=films)


@dataclass(frozen=True)
class HeaderFilter:
    """Which DICOM films are predicted: the values, in capitals, that each `wanted` tag may have, by keyword.

    A film that lacks a tag is kept, and so is one that isn't DICOM: the tags of body part and view are often empty, and a
    film that is predicted in vain costs less than one that is missing.
    """

    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, **wanted: Sequence[str] | None) -> HeaderFilter:
        """The filter for values by keyword; None for any.

        Raises:
            ConfigError: a value that no such tag can have, or pydicom is missing.
        """
        values = {key: [each.strip().upper() for each in given] for key, given in wanted.items() if given is not None}
        for key, given in values.items():
            if wrong := [each for each in given if not _CODE.fullmatch(each)]:
                raise ConfigError(f"{key} {wrong[0]!r}: expected at most 16 letters, digits, _ and spaces, such as HIP")
        if values and find_spec("pydicom") is None:
            raise ConfigError("DICOM headers need pydicom: pip install 'hipdet[dicom]'")
        return cls(values)

    def __str__(self) -> str:
        return "; ".join(f"{key} {' '.join(sorted(values))}" for key, values in sorted(self.wanted.items()))

    def check(self, source: FilmSource) -> tuple[bool, str]:
        """Whether the film is kept, and why it is left out, or what isn't known of it; empty if it has all that is wanted."""
        try:
            tags = read_dicom_tags(source.path or source.name, [*self.wanted], source.name) if self.wanted else {}
        except RadiographError:  # predicting it gives the reason
            return True, "no header could be read"
        if tags is None:
            return True, "no DICOM film"
        for key, said in tags.items():
            found = [each.upper() for each in said]
            if found and not set(found) & set(self.wanted[key]):
                return False, f"{key} is {found[0] if _WORD.fullmatch(found[0]) else 'something else'}"
        missing = [key for key, said in tags.items() if not said]
        return True, f"no {' and no '.join(missing)}" if missing else ""

    def films(self, todo: FilmList, path: Path) -> tuple[FilmList, list[str]]:
        """The films of `todo` that are kept, and the lines of :func:`write_headers` to `path`, if there is a filter."""
        if not self.wanted:
            return todo, []
        checked = dict(zip(todo.films, read_ahead(self.check, todo.films.values(), READERS)))
        rows = [(todo.films[at].name, str(int(not kept)), why) for at, (kept, why) in checked.items() if why]
        films = {at: source for at, source in todo.films.items() if checked[at][0]}
        return replace(todo, films=films), write_headers(path, rows)


def write_headers(path: Path, rows: Sequence[Sequence[str]]) -> list[str]:
    """Write `rows` of :data:`HEADER_COLUMNS` as CSV; returns lines that count them by reason."""
    write_csv(path, [HEADER_COLUMNS, *rows])
    lines = []
    for which, said in (("1", "left out by their DICOM headers"), ("0", "kept, whose headers don't say what they are")):
        if counts := Counter(why for _, left_out, why in rows if left_out == which):
            listed = "; ".join(f"{count}: {why}" for why, count in counts.most_common(SHOWN))
            more = f"; and {len(counts) - SHOWN} more reasons" if len(counts) > SHOWN else ""
            lines.append(f"{counts.total()} films {said} ({listed}{more}): {path}")
    return lines

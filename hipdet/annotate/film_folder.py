"""The films of a folder, by name, as pictures for the page."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from numpy import uint8
from numpy.typing import NDArray
from PIL import Image

from hipdet.annotate.film_state import Stamp
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.core.files import path_below
from hipdet.data.candidates import Candidate
from hipdet.data.match import find_films
from hipdet.inference.film_list import PassedOver
from hipdet.radiographs.grey import RadiographHeader, Size
from hipdet.radiographs.read import read_header, read_radiograph

KEPT = 3  # decoded films in memory: zooming in requests the same film again
QUALITY = 95  # of JPEG: artefacts below the noise of a film


class Seen(NamedTuple):
    """The film that a file had when it was last read: ``(width, height)`` upright, and the stamp of the file."""

    size: Size
    stamp: Stamp


class FilmFolder:
    """The films below `root`, by name; any other name is refused.

    Attributes:
        candidates: The films.
        passed: What is among them and isn't a film: crops that hipdet made, pipes and so on.
        unreadable: Why films can't be read, as far as that is known.

    Raises:
        DatasetError: no folder, or no films.
    """

    def __init__(self, root: Path, source: str) -> None:
        self.passed = PassedOver()
        found = find_films(root, source)
        folders = {str(folder) for each in found for folder in PurePosixPath(each.name).parents} - {"."}
        crops = {name for name in sorted(folders) if self.passed.takes_folder(path_below(root, name), name)}
        self.candidates: dict[str, Candidate] = {
            each.name: each
            for each in found
            if crops.isdisjoint(map(str, PurePosixPath(each.name).parents))
            and not self.passed.takes(each.file.path, each.name)
        }
        if not self.candidates:
            raise DatasetError(f"{root}: no films ({'; '.join(self.passed.lines())}): check the path")
        self._seen: dict[str, Seen] = {}
        self._decoded: OrderedDict[tuple[str, Stamp], NDArray[uint8]] = OrderedDict()
        self._lock = threading.Lock()
        self.unreadable: dict[str, str] = {}

    def path(self, name: str) -> Path:
        """Path of the film `name`.

        Raises:
            DatasetError: the folder has no such film.
        """
        if name not in self.candidates:
            raise DatasetError(f"{name!r} is not a film of this folder")
        return self.candidates[name].file.path

    def stamp(self, name: str) -> Stamp:
        """Size and time of modification of the film's file; if they are the same, so is the film.

        Raises:
            RadiographError: the file can't be found.
        """
        try:
            stat = self.path(name).stat()
        except OSError as error:
            raise RadiographError(f"can't be read: {error.strerror}", name) from error
        return stat.st_size, stat.st_mtime_ns

    def header(self, name: str) -> RadiographHeader:
        """Read the header of the film, and remember what the file has.

        Raises:
            RadiographError: it can't be read.
        """
        stamp = self.stamp(name)
        header = read_header(self.path(name), name)
        self._seen[name] = Seen(header.upright, stamp)
        return header

    def look(self, name: str, known: Seen | None = None) -> Seen | None:
        """Look at the file, which may have been replaced, and return what it has; None if that can't be read.

        The film is read only if the file isn't the one that was `known`, or seen last; `unreadable` then may have a reason.
        """
        try:
            stamp = self.stamp(name)
            seen = next((each for each in (known, self._seen.get(name)) if each and each.stamp == stamp), None)
            if seen:
                self._seen[name] = seen
            else:
                self.header(name)
        except RadiographError as error:
            self.unreadable[name] = error.reason
            return None
        return self._seen[name]

    def seen(self, name: str) -> Seen | None:
        """What the file had when it was last looked at; None if it wasn't."""
        return self._seen.get(name)

    def picture(self, name: str, side: int | None) -> tuple[bytes, Size]:
        """The upright film as JPEG, shrunk to a long side of `side` px if it is larger, and its full ``(width, height)``.

        Raises:
            RadiographError: it can't be read; `unreadable` then has the reason.
        """
        film = Image.fromarray(self._pixels(name))
        size = film.size
        if side is not None:
            film.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
        buffer = io.BytesIO()
        film.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue(), size

    def _pixels(self, name: str) -> NDArray[uint8]:
        try:
            key = name, self.stamp(name)
            with self._lock:
                if key in self._decoded:
                    self.unreadable.pop(name, None)
                    self._decoded.move_to_end(key)
                    return self._decoded[key]
            pixels = read_radiograph(self.path(name), name)
        except RadiographError as error:
            self.unreadable[name] = error.reason
            raise
        with self._lock:
            self.unreadable.pop(name, None)
            self._seen[name] = Seen((pixels.shape[1], pixels.shape[0]), key[1])
            self._decoded[key] = pixels
            while len(self._decoded) > KEPT:
                self._decoded.popitem(last=False)
        return pixels

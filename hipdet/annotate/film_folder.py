"""The films of a folder, by name, as pictures for the page."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from numpy import uint8
from numpy.typing import NDArray
from PIL import Image

from hipdet.core.errors import DatasetError, RadiographError
from hipdet.data.candidates import Candidate
from hipdet.data.match import find_films
from hipdet.radiographs.grey import Size
from hipdet.radiographs.read import read_header, read_radiograph

KEPT = 3  # decoded films in memory: zooming in requests the same film again
QUALITY = 95  # of JPEG: artefacts below the noise of a film


class FilmFolder:
    """The films below `root`, by name; any other name is refused.

    Raises:
        DatasetError: no folder, no films, or a film whose name isn't UTF-8.
    """

    def __init__(self, root: Path, source: str) -> None:
        self.candidates: dict[str, Candidate] = {each.name: each for each in find_films(root, source)}
        invalid = [name for name in self.candidates if any("\ud800" <= letter <= "\udfff" for letter in name)]
        if invalid:
            raise DatasetError(f"{invalid[0]!r}: the name of this film is not UTF-8: rename it")
        self._sizes: dict[str, Size] = {}
        self._decoded: OrderedDict[str, NDArray[uint8]] = OrderedDict()
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

    def know_sizes(self, sizes: Iterable[tuple[str, Size]]) -> None:
        """Add sizes that an earlier session has read."""
        self._sizes.update(sizes)

    def size(self, name: str) -> Size | None:
        """``(width, height)`` of the upright film; None if it can't be read: `unreadable` then has the reason."""
        if name not in self._sizes:
            try:
                self._sizes[name] = read_header(self.path(name), name).upright
            except RadiographError as error:
                self.unreadable[name] = error.reason
                return None
        return self._sizes[name]

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
        path = self.path(name)
        with self._lock:
            if name in self._decoded:
                self._decoded.move_to_end(name)
                return self._decoded[name]
        try:
            pixels = read_radiograph(path, name)
        except RadiographError as error:
            self.unreadable[name] = error.reason
            raise
        with self._lock:
            self.unreadable.pop(name, None)
            self._sizes[name] = (pixels.shape[1], pixels.shape[0])
            self._decoded[name] = pixels
            while len(self._decoded) > KEPT:
                self._decoded.popitem(last=False)
        return pixels

"""How label files are to be read, where they don't say it themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Optional, Union

from hipdet.errors import DatasetError

FilmSizes = Callable[[str], Optional[tuple[int, int]]]
Origin = Union[Literal["auto"], int]


@dataclass(frozen=True)
class LabelOptions:
    """Options of :func:`hipdet.labels.read_labels`, which explains them."""

    origin: Origin = "auto"
    rotated: str = "refuse"
    film_size: FilmSizes | None = None
    classes: tuple[str, ...] | None = None
    annotator: str | None = None
    attribute: str | None = None

    def __post_init__(self) -> None:
        if self.origin not in ("auto", 0, 1) or isinstance(self.origin, bool):
            raise DatasetError(f"origin is {self.origin!r}, expected 0, 1 or 'auto'")
        if self.rotated not in ("refuse", "enclose"):
            raise DatasetError(f"rotated is {self.rotated!r}, expected 'refuse' or 'enclose'")
        good = self.classes is None or (self.classes and all(isinstance(name, str) and name for name in self.classes))
        if not good:
            raise DatasetError(f"classes are {self.classes!r}, expected the names of the classes")

"""The labels of ``hipdet fit``: in any format, of one class without a name, and for films that no label file names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hipdet.data.candidates import Candidate
from hipdet.data.collect import LabelSource
from hipdet.data.formats.parse import FaultyLabel
from hipdet.data.formats.record import FilmLabels, FilmSizes, LabelBox
from hipdet.data.match import FilmIndex

UNNAMED = "roi"  # the class, where the labels give no name


@dataclass(frozen=True)
class FitLabels(LabelSource):
    """Labels of one class that may be without a name, and which may also say something about the other films.

    Attributes:
        unnamed: Name of the class if no box has one; empty to refuse boxes without a name.
        others: Films that have no ROI unless a label file names them.
    """

    unnamed: str = UNNAMED
    others: tuple[Candidate, ...] = ()

    def read(self, film_size: FilmSizes, faulty: list[FaultyLabel] | None = None) -> list[FilmLabels]:
        """As in LabelSource, with the name of the class, and a record for each of the other films."""
        labels = super().read(film_size, faulty)
        if self.unnamed and all(box.label is None for film in labels for box in (*film.boxes, *film.ignored)):
            labels = [
                replace(film, boxes=_named(film.boxes, self.unnamed), ignored=_named(film.ignored, self.unnamed))
                for film in labels
            ]
        if not self.others:
            return labels
        index = FilmIndex(self.others)
        named = {film.name for each in labels for film in index.find(each.film, each.file.parent.parts)}
        annotator, path = next(iter(self.paths.items()))
        file = path / "films without label" if path.is_dir() else path
        rest = [film.name for film in self.others if film.name not in named]
        return labels + [FilmLabels(name, None, (), file, annotator=annotator) for name in rest]


def _named(boxes: Sequence[LabelBox], name: str) -> tuple[LabelBox, ...]:
    return tuple(replace(box, label=name) for box in boxes)

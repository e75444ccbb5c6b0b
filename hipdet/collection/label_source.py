"""The label files of one or several annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hipdet.errors import DatasetError
from hipdet.labels import FilmLabels, read_labels
from hipdet.labels.options import FilmSizes


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from.

    Attributes:
        paths: File or folder by annotator; a single annotator needs no name, ``""``.
        options: Keywords of :func:`hipdet.labels.read_labels`.
    """

    paths: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)

    def read(self, film_size: FilmSizes) -> list[FilmLabels]:
        """All labels, each with its annotator: the name in `paths`, or where that is empty the label file's own.

        Raises:
            DatasetError: as :func:`hipdet.labels.read_labels`.
        """
        labels = []
        for annotator, path in self.paths.items():
            for film in read_labels(path, film_size=film_size, **self.options):
                labels.append(replace(film, annotator=annotator or film.annotator or ""))
        return labels

    def root_of(self, labels: FilmLabels) -> Path:
        """The folder that `labels` are below, as given by the user."""
        for path in self.paths.values():
            if labels.file == path:
                return path.parent
            if path in labels.file.parents:
                return path
        raise DatasetError(f"{labels.file} is below none of {[str(path) for path in self.paths.values()]}")


def default_labels(root: Path, given: Sequence[str]) -> dict[str, Path]:
    """Label path by annotator, from arguments ``PATH`` or ``NAME=PATH``, or without any from ``root/labels*``.

    A folder ``labels`` that holds nothing but folders has one for each annotator.

    Raises:
        DatasetError: no labels, or several and not all with a name.
    """
    if given:
        named = [(name, path) if sign else ("", name) for name, sign, path in (text.partition("=") for text in given)]
        annotators = {name for name, _ in named}
        if len(annotators) < len(named) or (len(named) > 1 and "" in annotators):
            raise DatasetError(
                f"labels are {' '.join(given)}, expected NAME=PATH with a name of its own for each of several"
            )
        return {name: Path(path) for name, path in named}
    found = sorted(path for path in root.glob("labels*") if not path.name.startswith("."))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DatasetError(
            f"{root}: label files named labels or labels.*: found {names}, expected one: add --labels PATH"
        )
    inside = sorted(path for path in found[0].iterdir() if path.name[0] != ".") if found[0].is_dir() else []
    if len(inside) > 1 and all(path.is_dir() for path in inside):
        return {path.name: path for path in inside}
    return {"": found[0]}

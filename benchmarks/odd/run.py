"""Runs models on odd films: one model on all of them, or for each film the one that wasn't trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from hipdet.core.errors import ConfigError, DatasetError
from hipdet.core.files import film_below, write_json, write_text
from hipdet.core.records import read_json
from hipdet.core.tables import write_rows
from hipdet.data.coco_file import Film, get_films
from hipdet.data.match import read_film_table
from hipdet.data.validate.check import require_valid
from hipdet.inference.detector import RoiDetector, bundled_model
from hipdet.inference.film_list import FilmSource
from hipdet.version import __version__
from odd.kinds import KINDS
from odd.make import INVERTED, MADE_FROM, PROVENANCE, TURNED
from odd.score import FilmScore, counts_of_flags, record, report, rows_of, score

BUNDLED = "bundled"  # how results name the bundled model


@dataclass(frozen=True)
class OddFilms:
    """A folder of odd films.

    Attributes:
        folder: The folder.
        films: Kind and film of each, kind by kind.
    """

    folder: Path
    films: list[tuple[str, Film]]

    @classmethod
    def read(cls, folder: Path, kinds: Sequence[str] | None = None) -> OddFilms:
        """The films of these kinds; by default of all that were made.

        Raises:
            DatasetError: there are none, or a COCO file isn't one of odd films.
        """
        made = [kind for kind in KINDS if (folder / f"{kind}.json").is_file()]
        names = made if kinds is None else list(kinds)
        if missing := [kind for kind in names if kind not in made]:
            found = f"no {missing[0]}.json, found {', '.join(made) or 'no kind'}"
        elif not made:
            found = "no kind of odd films"
        else:
            return cls(folder, [(kind, film) for kind in names for film in _films(folder / f"{kind}.json")])
        raise DatasetError(f"{folder}: {found}: make them first (benchmarks/odd_films.py make)")


def _films(path: Path) -> list[Film]:
    """The films of a kind; a kind that no film could be made of has none."""
    if not read_json(path, "a COCO file of odd films").get("images"):
        return []
    films = get_films(require_valid(path))
    for film in films:
        if lacking := [key for key in (MADE_FROM, TURNED, INVERTED) if key not in film.extra]:
            expected = "a COCO file of benchmarks/odd_films.py make"
            raise DatasetError(
                f"{path}: {film.file_name} has no {lacking[0]}, expected {expected}: make the films again"
            )
        if not film.rois:
            raise DatasetError(f"{path}: {film.file_name} has no label, expected one at least: make the films again")
    return films


def fold_models(table: Path) -> dict[str, str]:
    """The model of each ordinary film by its name, from a CSV table ``image,model``.

    Paths of models are relative to the folder of the table.

    Raises:
        DatasetError: the list of its faults, such as a film with two models.
    """
    models: dict[str, str] = {}
    for film, row in read_film_table(table, ["model"]):
        path = str(table.parent / row.text["model"])
        if not row.text["model"]:
            raise DatasetError(f"{table}: {row.place}: no model, expected the path of an .onnx file: fill it in")
        if models.setdefault(film, path) != path:
            raise DatasetError(f"{table}: {row.place}: {film} has two models, expected one: remove a row")
    return models


def run_models(odd: OddFilms, models: dict[str, str] | str | None, threads: int | None = None) -> list[FilmScore]:
    """Test every film with its model, in the order of the films; each model is loaded once.

    Args:
        odd: The films.
        models: Path of the model by name of the ordinary film, or one for all; None for the bundled model.
        threads: Threads of a model; None for what the runtime decides.

    Raises:
        DatasetError: a film has no model.
        CheckpointError: a model is missing or can't be read.
        ConfigError: a model has other classes than the labels.
    """
    of_model: dict[str | None, list[int]] = {}
    for number, (_, film) in enumerate(odd.films):
        name = film.extra[MADE_FROM]
        if isinstance(models, dict) and name not in models:
            raise DatasetError(
                f"{name}: not in the table of models, expected a row for every film: add image,model for it"
            )
        of_model.setdefault(models[name] if isinstance(models, dict) else models, []).append(number)
    scores: dict[int, FilmScore] = {}
    with tqdm(total=len(odd.films), unit="film", desc="tests") as bar:
        for model, numbers in of_model.items():
            detector = RoiDetector(bundled_model() if model is None else model, threads=threads, strict=True)
            work = [odd.films[number] for number in numbers]
            _check_classes(detector, [film for _, film in work], model)
            for number, found in zip(numbers, detector.of_sources(iter(_sources(odd.folder, work)))):
                scores[number] = score(*odd.films[number], found, BUNDLED if model is None else model)
                bar.update()
    return [scores[number] for number in range(len(odd.films))]


def _sources(folder: Path, work: Sequence[tuple[str, Film]]) -> list[FilmSource]:
    return [FilmSource(film.file_name, film_below(folder, film.file_name, f"{kind}.json")) for kind, film in work]


def _check_classes(detector: RoiDetector, films: Sequence[Film], model: str | None) -> None:
    labels, classes = {roi.label for film in films for roi in film.rois}, detector.model.card.classes
    if strange := sorted(labels - {*classes}):
        found = f"it detects {', '.join(classes)}, and films have labels of {', '.join(strange)}"
        raise ConfigError(f"{model or 'the bundled model'}: {found}, expected the same classes: name another model")


def write_report(odd: OddFilms, scores: Sequence[FilmScore], out: Path) -> str:
    """Write ``odd_films.md``, ``.csv`` and ``.json`` into `out`; returns the first one's text."""
    rows = rows_of(scores)
    models = list(dict.fromkeys(film.model for film in scores))
    which = f"model {models[0]}" if len(models) == 1 else f"{len(models)} models, each film with the one of its row"
    text = report(rows, f"{len(scores)} films, {which}; hipdet {__version__}, with its defaults.")
    place = odd.folder / PROVENANCE
    content = {
        "films_from": read_json(place, "where odd films come from") if place.is_file() else None,
        "hipdet": __version__,
        "models": models,
        "kinds": rows,
        "flags": counts_of_flags(scores),
        "films": [record(film) for film in scores],
    }
    write_json(out / "odd_films.json", content)
    write_rows(out / "odd_films.csv", rows)
    write_text(out / "odd_films.md", text)
    return text

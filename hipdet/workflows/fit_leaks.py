"""Whether films that ``hipdet fit`` tests on were trained on: the same, nearly the same, or of the same patient.

That is films from elsewhere, and those that the starting weights have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from hipdet.core.annotations import patients_mark
from hipdet.core.errors import DatasetError, HipdetError, raise_faults
from hipdet.core.files import path_below
from hipdet.data.copies import (
    DIGITS,
    LEAST_CORRELATION,
    brightness_steps,
    difference_hash,
    film_digest,
    near_duplicates,
)
from hipdet.data.match import FilmIndex, find_films
from hipdet.data.sources.folder import find_folder
from hipdet.engine.checkpoint import get_meta, read_checkpoint
from hipdet.radiographs.read import read_dicom_text, read_radiograph
from hipdet.workflows.films_elsewhere import FilmsElsewhere
from hipdet.workflows.fit_data import FitData
from hipdet.workflows.fit_labels import PATIENT, may_be_dicom, patient_rows

Paths = Mapping[str, Path]  # files of films by name


def require_other_films(data: FitData, test: FilmsElsewhere) -> None:
    """Check that no film of `test` is (nearly) a film of `data`, nor of one of its patients as far as both are known.

    Raises:
        DatasetError: the list of such pairs; faulty labels, or no film to test on.
    """
    trained = {image["file_name"]: path_below(data.options.films, image["file_name"]) for image in data.coco["images"]}
    tested = {film.name: film.path for film in test.sources().values() if film.path is not None}
    pairs = {(mine, other): f"is nearly the same as {other}" for mine, other in _alike(trained, tested)}
    for mine, other in _of_one_patient(data, test, trained, tested):
        pairs.setdefault((mine, other), f"is of the same patient as {other}")
    remedy = "take these films out of it, or leave the others out of the training with --exclude"
    faults = [f"{mine} {what}, which is trained on" for (mine, _), what in sorted(pairs.items())]
    raise_faults(f"--test {test.films} ({remedy})", faults)


def require_unseen_films(data: FitData, start: str | None, synthetic: Path) -> str:
    """Check that the starting weights weren't trained on films of `data`: they would be known when they are tested.

    Args:
        data: Films and labels.
        start: Checkpoint that every training starts from; None for random weights.
        synthetic: The one that saw synthetic films alone.

    Returns:
        A warning if it isn't known which films it has seen; else nothing.

    Raises:
        DatasetError: the list of films that it has seen.
        CheckpointError: it can't be read.
    """
    if not start or Path(start) == synthetic:
        return ""
    if "://" in start:
        return f"{start}: it isn't known which films these weights have seen; if they are among yours, metrics are too good"
    path = Path(start)
    meta = get_meta(read_checkpoint(path), path)
    record = meta.record("seen") if meta.values.get("seen") is not None else None
    seen = set(record.texts("films", longest=DIGITS)) if record else set()
    faults = []
    for image in data.coco["images"]:
        if film_digest(path_below(data.options.films, image["file_name"])) in seen:
            faults.append(f"{image['file_name']} is a film that these weights were trained on")
    remedy = "leave these films out with --exclude, or start from other weights with --cfg-options load_from=..."
    raise_faults(f"{start} ({remedy})", faults)
    if record and record.flag("known"):
        return ""
    return f"{start}: doesn't say all films that it was trained on; if they are among yours, metrics are too good"


def _alike(trained: Paths, tested: Paths) -> Iterator[tuple[str, str]]:
    """Pairs of a tested and a trained film whose pixels are equal or nearly so; what can't be decoded is in none."""
    films, hashes, steps = [], [], []
    every = [(name, path, part is tested) for part in (trained, tested) for name, path in part.items()]
    for name, path, is_test in tqdm(every, "comparing with --test", unit="film", disable=None):
        with suppress(HipdetError):  # a damaged film is reported where it is needed
            pixels = read_radiograph(path, name)
            films.append((name, is_test))
            hashes.append(difference_hash(pixels))
            steps.append(brightness_steps(pixels))
    for pair in near_duplicates([str(place) for place in range(len(films))], hashes):
        first, second = sorted((int(pair.first), int(pair.second)), key=lambda place: films[place][1])
        (other, _), (mine, is_test) = films[first], films[second]
        # one of some thousand pairs of different films has hashes so much alike
        if is_test and not films[first][1] and steps[first] @ steps[second] >= LEAST_CORRELATION:
            yield mine, other


def _of_one_patient(data: FitData, test: FilmsElsewhere, trained: Paths, tested: Paths) -> Iterator[tuple[str, str]]:
    """Pairs of a tested film and the first trained one of its patient, by name or by DICOM's PatientID."""
    named = {} if patients_mark(data.coco) else {image["file_name"]: image["patient"] for image in data.coco["images"]}
    known = [(named, _named_patients(data, test) if named else {}), (_tagged(trained), _tagged(tested))]
    for training, testing in known:
        first: dict[str, str] = {}
        for film, patient in training.items():
            first.setdefault(patient, film)
        yield from ((film, first[patient]) for film, patient in testing.items() if film in tested and patient in first)


def _named_patients(data: FitData, test: FilmsElsewhere) -> dict[str, str]:
    """Patients of the tested films as ``--patients`` finds them, or as their labels say; empty if neither does."""
    given = data.options.patients
    if given == "folder" or (given is not None and "(" in given and not Path(given).is_file()):
        try:
            return {each.name: each.patient for each in find_folder(test.films, "test", given).candidates}
        except DatasetError:  # films from elsewhere have other names
            return {}
    column = PATIENT if given is None or given == "film" or Path(given).is_file() else given
    rows, mark = patient_rows(test.labels, column) if test.labels is not None else ([], "")
    if mark or not rows:
        return {}
    index = FilmIndex(find_films(test.films, "test"))
    return {each.name: patient for film, patient, _ in rows if patient for each in index.find(film)}


def _tagged(films: Paths) -> dict[str, str]:
    """PatientID of the DICOM films; it is neither stored nor shown."""
    found = {}
    for name, path in films.items():
        with suppress(HipdetError):  # a damaged film is reported where it is needed
            if may_be_dicom(name) and (patient := read_dicom_text(path, "PatientID", name)):
                found[name] = patient
    return found

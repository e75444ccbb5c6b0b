"""A detector's boxes as proposals, computed in the background and cached on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import LONGEST_NAME, MOST_BOXES, Project, is_square, squared
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import HipdetError
from hipdet.core.files import Journal
from hipdet.core.records import Record, finite, finite_box
from hipdet.core.resumable import fingerprint
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import SHIPPED, HipDetector
from hipdet.version import RESULTS_VERSION

DEFAULT = "default"
Detect = Callable[[Sequence[Path]], Iterable[FilmRois]]  # the ROIs of films, in the order of the paths


@dataclass(frozen=True)
class Proposal:
    """What a detector found on a film.

    Attributes:
        boxes: ``(x0, y0, x1, y1)`` in pixels of the upright film.
        scores: One per box.
        labels: One per box, of the project's classes.
        flags: Why an annotator should look closely.
    """

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    scores: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def doubt(self, rois: int | None) -> float:
        """How doubtful it is: 1 minus the lowest score, plus 2 with flags or a number of boxes other than `rois`."""
        wrong = bool(self.flags) or (rois is not None and len(self.boxes) != rois) or not self.boxes
        return 2 * wrong + 1 - min(self.scores, default=0.0)


def load_detector(model: str, project: Project) -> Detect:
    """Load the detector of the file `model`, or the bundled one for ``default``.

    If model and project have one class, the project's number of ROIs replaces the model's.  A model of several classes keeps
    its own numbers, and ROIs of classes that the project lacks are left out.

    Raises:
        CheckpointError: no such model, or one that can't be read.
    """
    detector = HipDetector(None if model == DEFAULT else model)
    classes = detector.model.card.classes
    if len(classes) == 1:
        if project.rois is not None and len(project.classes) == 1:
            detector.rois = RoiCounts.of(project.rois, classes)
        return detector
    return lambda films: (
        replace(film, rois=tuple(roi for roi in film.rois if roi.label in project.classes)) for film in detector(films)
    )


def cache_name(model: str, project: Project) -> str:
    """Name of the file that caches proposals; it depends on the model, the task and the version of results."""
    path = max(SHIPPED.glob("*.onnx"), default=Path(model)) if model == DEFAULT else Path(model)
    content = path.read_bytes() if path.is_file() else model.encode()
    task = repr((RESULTS_VERSION, project.classes, project.rois, project.free_shape)).encode()
    return f".proposals-{fingerprint(content + task)[:16]}.jsonl"


class FilmProposals:
    """Runs `detect` on the films of `films` in a thread, except for those in `cache`.

    Args:
        detect: The detector.
        films: The folder.
        project: Its classes and shapes are those that are proposed.
        cache: File that keeps the proposals.
    """

    def __init__(self, detect: Detect, films: FilmFolder, project: Project, cache: Path) -> None:
        self.fault: str | None = None
        self._detect, self._films, self._project, self._cache = detect, films, project, cache
        self._found: dict[str, Proposal] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proposals", daemon=True)
        self._thread.start()

    def of(self, film: str) -> Proposal | None:
        """The proposal for `film`; None if there is none yet."""
        return self._found.get(film)

    def all(self) -> dict[str, Proposal]:
        """All proposals so far, by film."""
        return dict(self._found)

    @property
    def running(self) -> bool:
        """Whether more proposals are to come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop after the present film."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Journal(self._cache) as cache:
                self._load(cache)
                missing = [name for name in self._films.candidates if name not in self._found]
                paths = [self._films.path(name) for name in missing]
                for name, film in zip(missing, self._detect(paths) if paths else ()):
                    self._found[name] = proposal = self._proposal(name, film)
                    cache.append([{"film": name, "file": self._films.stamp(name), **vars(proposal)}])
                    if self._stopping.is_set():
                        return
        except Exception as error:  # whatever goes wrong in a model, labelling goes on without it
            self.fault = f"no more proposals: {error or type(error).__name__}"

    def _proposal(self, name: str, film: FilmRois) -> Proposal:
        seen = self._films.look(name)
        if film.error or seen is None:
            return Proposal(flags=(str(film.error or "can't be read"),))
        classes = self._project.classes
        only = classes[0] if len(classes) == 1 else None  # with one class, the model's own label doesn't matter
        rois = [roi for roi in film.rois if only or roi.label in classes]
        boxes = [tuple(round(float(edge), 2) for edge in roi.box) for roi in rois]
        if not self._project.free_shape:
            boxes = [box if is_square(box) else squared(box, seen.size) for box in boxes]  # type: ignore[arg-type]
        return Proposal(
            tuple(boxes),  # type: ignore[arg-type]
            tuple(round(float(roi.score), 4) for roi in rois),
            tuple(only or roi.label for roi in rois),
            tuple(map(str, film.flags)),
        )

    def _load(self, cache: Journal) -> None:
        for _, values in cache.records(skip_damaged=True):
            record = Record(values, self._cache.name)
            try:
                name, stamp = record.text("film", longest=LONGEST_NAME), record.items("file")
                boxes, scores = (record.items(key, most=MOST_BOXES) for key in ("boxes", "scores"))
                labels, flags = record.texts("labels"), record.texts("flags")
                known = name in self._films.candidates and tuple(stamp) == self._films.stamp(name)
            except HipdetError:
                continue  # a cache: what can't be used is computed again
            numbers = all(map(finite_box, boxes)) and all(finite(score) is not None for score in scores)
            alike = len(boxes) == len(scores) == len(labels) and {*labels} <= {*self._project.classes}
            if known and numbers and alike:
                self._found[name] = Proposal(tuple(map(tuple, boxes)), tuple(scores), tuple(labels), tuple(flags))

"""A detector's squares as proposals, computed behind the annotator's back and kept on the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Project, is_square, squared
from hipdet.core.classes import RoiCounts
from hipdet.core.files import Journal, finite
from hipdet.core.resumable import fingerprint
from hipdet.inference.detections import FilmRois
from hipdet.inference.detector import SHIPPED, HipDetector
from hipdet.version import RESULTS_VERSION

DEFAULT = "default"
Detect = Callable[[Sequence[Path]], Iterable[FilmRois]]  # of films, in their order


@dataclass(frozen=True)
class Proposal:
    """What a detector found on a film.

    Attributes:
        boxes: ``(x0, y0, x1, y1)`` in pixels of the upright film.
        scores: One each.
        labels: One each, of the project's classes.
        flags: Why a person should look.
    """

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    scores: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def doubt(self, rois: int | None) -> float:
        """How much it needs a look: 2 .. 3 with flags or a wrong number of `rois`, else 0 .. 1, by the lowest score."""
        wrong = bool(self.flags) or (rois is not None and len(self.boxes) != rois) or not self.boxes
        return 2 * wrong + 1 - min(self.scores, default=0.0)


def load_detector(model: str, project: Project) -> Detect:
    """hipdet's own detector of the file `model`, or the one that comes with hipdet for ``default``.

    A project's number of ROIs is that of the model where both have one class.  Of several classes the model knows how many of
    each a film has, and ROIs that the project doesn't label are left out.

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
    """Name of the file that keeps the proposals of a model: another model, task or version of results, another file."""
    path = max(SHIPPED.glob("*.onnx"), default=Path(model)) if model == DEFAULT else Path(model)
    content = path.read_bytes() if path.is_file() else model.encode()
    task = repr((RESULTS_VERSION, project.classes, project.rois, project.free_shape)).encode()
    return f".proposals-{fingerprint(content + task)[:16]}.jsonl"


class FilmProposals:
    """Runs `detect` over the films of `films` in a thread; films in `cache` aren't looked at again.

    Args:
        detect: The detector.
        films: The folder.
        project: Says which labels and shapes count.
        cache: File to keep them in.
    """

    def __init__(self, detect: Detect, films: FilmFolder, project: Project, cache: Path) -> None:
        self.fault: str | None = None
        self._detect, self._films, self._project, self._cache = detect, films, project, cache
        self._found: dict[str, Proposal] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proposals", daemon=True)
        self._thread.start()

    def of(self, film: str) -> Proposal | None:
        """What was found on `film`; None if it wasn't looked at yet."""
        return self._found.get(film)

    def all(self) -> dict[str, Proposal]:
        """What was found so far."""
        return dict(self._found)

    @property
    def running(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop after the film at hand."""
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
                    cache.append([{"film": name, "file": self._stamp(name), **vars(proposal)}])
                    if self._stopping.is_set():
                        return
        except Exception as error:  # whatever a model does, labelling goes on without it
            self.fault = f"no more proposals: {error or type(error).__name__}"

    def _proposal(self, name: str, film: FilmRois) -> Proposal:
        size = self._films.size(name)
        if film.error or size is None:
            return Proposal(flags=(str(film.error or "can't be read"),))
        classes = self._project.classes
        only = classes[0] if len(classes) == 1 else None  # whatever a model calls it, it is that
        rois = [roi for roi in film.rois if only or roi.label in classes]
        boxes = [tuple(round(float(edge), 2) for edge in roi.box) for roi in rois]
        if not self._project.free_shape:
            boxes = [box if is_square(box) else squared(box, size) for box in boxes]  # type: ignore[arg-type]
        return Proposal(
            tuple(boxes),  # type: ignore[arg-type]
            tuple(round(float(roi.score), 4) for roi in rois),
            tuple(only or roi.label for roi in rois),
            tuple(map(str, film.flags)),
        )

    def _load(self, cache: Journal) -> None:
        for _, record in cache.records(skip_damaged=True):
            try:
                name, stamp = record["film"], record["file"]
                known = name in self._films.candidates and stamp == self._stamp(name)
                proposal = Proposal(*(tuple(record[key]) for key in ("boxes", "scores", "labels", "flags")))
                numbers = all(finite(edge) is not None for box in proposal.boxes for edge in box)
            except (ValueError, KeyError, TypeError, OSError):
                continue  # a cache: what can't be used is computed again
            if known and numbers:
                self._found[name] = proposal

    def _stamp(self, name: str) -> list[int]:
        """Size and time of the film's file: another file, another proposal."""
        stat = self._films.path(name).stat()
        return [stat.st_size, stat.st_mtime_ns]

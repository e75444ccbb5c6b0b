"""The detector: finds the ROIs on films."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError, RadiographError
from hipdet.core.records import finite
from hipdet.inference.detections import FilmDetections, FilmRois, Infer, upright
from hipdet.inference.film_list import Films, FilmSource, ShrunkFilm, film_sources, read_ahead
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.review import ReviewLimits, judge
from hipdet.version import RESULTS_VERSION

if TYPE_CHECKING:
    from hipdet.export.torch_model import TorchModel

SHIPPED = Path(__file__).resolve().parents[1] / "weights"
LEAST_SIDE = 64  # px of the long side; a hip of a tenth of it has 6
READERS = 2  # threads that read films
FITTED = "model.onnx"  # in a folder of hipdet fit
LEAST_SECONDS, SLOWER = 60.0, 100  # a film is given up after that many seconds, or times the median of the films before
REMEMBERED = 101  # films that the median is of


class RoiDetector:
    """Finds the ROIs of radiographs.

    >>> detector = RoiDetector("knees/model.onnx")
    >>> for film in detector("films"):
    ...     print(film.name, [roi.box for roi in film.rois], film.flags)

    Args:
        model: ``.onnx`` file that hipdet export wrote, a folder that hipdet fit wrote, or a config.
        weights: Checkpoint, if `model` is a config.
        rois: How many ROIs a film may have; at most as many are returned.  A number or a range such as ``(1, 2)`` for all
            classes together, or one per class such as ``dict(heart=1, lung=(1, 2))``; by default the model's own.  Where you
            say one number, films are known to have so many: the best are returned as ROIs whatever they score.
        limits: Review limits; by default the model's own.
        find_orientation: Read rotated and inverted films upright.  It needs a model with an orientation head; others read
            films as they are.
        whole_films: Decode JPEG films at full size, even if a fraction would be enough: exact boxes for more time
            (docs/results/speed.md, "Reading").
        threads: Threads of an exported model; by default the runtime decides.
        runtime: Runtime of an exported model: ``onnxruntime``, or ``openvino`` (extra openvino).
        precision: ``float32``, or ``bfloat16`` in OpenVINO on processors that support it, which is faster; boxes differ by a
            few thousandths of the film's side (docs/results/speed.md).
        device: Device of a checkpoint, such as ``cuda:0``.
        film_timeout: Seconds after which an exported model gives a film up, whose record then has the error; by default 100
            times the median of the films before, at least 60.
        strict: Raise an error for a film that can't be read; by default the film's record has the error.
        progress: Show a progress bar.

    Raises:
        CheckpointError: the model is missing or can't be read.
        ConfigError: no such config, invalid `rois`, `threads` or `film_timeout`, or an unavailable runtime or precision.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        weights: str | Path | None = None,
        *,
        rois: Counts | None = None,
        limits: ReviewLimits | None = None,
        find_orientation: bool = True,
        whole_films: bool = False,
        threads: int | None = None,
        runtime: str = "onnxruntime",
        precision: str = "float32",
        device: str = "cpu",
        film_timeout: float | None = None,
        strict: bool = False,
        progress: bool = False,
    ) -> None:
        if film_timeout is not None and not (finite(film_timeout) or 0) > 0:
            raise ConfigError(f"film_timeout {film_timeout!r}: expected a number of seconds above 0")
        self.model = open_model(model, weights, threads, device, runtime, precision)
        card = self.model.card
        self.rois = card.counts if rois is None else RoiCounts.of(rois, card.classes)
        self.stated = rois is not None
        self.limits = limits or card.limits
        self.find_orientation = find_orientation
        self.at_least = None if whole_films else self.model.at_least
        self.runtime = f"{runtime} {precision}"
        self.film_timeout = film_timeout
        self.strict = strict
        self.progress = progress

    @property
    def settings(self) -> str:
        """Everything that results depend on, apart from the film."""
        return (  # stored results are looked up by this text, so old words stay in it
            f"results {RESULTS_VERSION}, {self.model.fingerprint}, rois {self.rois}, stated {self.stated}, "
            f"odd films {self.find_orientation}, limits {self.limits}, long side {self.at_least}, {self.runtime}"
        )

    def __call__(self, films: Films) -> Iterator[FilmRois]:
        """Yield the ROIs of each film, in the order of the films; the next films are read while the network runs.

        Args:
            films: Paths, folders, patterns or arrays, see :func:`hipdet.inference.film_list.film_sources`.

        Raises:
            DatasetError: a folder or pattern has no films.
            RadiographError: a film can't be read, if `strict`.
        """
        yield from self.of_sources(film_sources(films))

    def of_sources(self, sources: Iterator[FilmSource], total: int | None = None) -> Iterator[FilmRois]:
        """Yield the ROIs of each film in `sources`; `total` is their number for the progress bar."""
        prepared = read_ahead(self._preprocess, sources, READERS)
        took: deque[float] = deque(maxlen=REMEMBERED)
        for source, film in tqdm(prepared, total=total, unit="film", disable=None if self.progress else True):
            record = film if isinstance(film, RadiographError) else self._detect_in_time(source, film, took)
            if not isinstance(record, RadiographError):
                yield record
            elif self.strict:
                raise record
            else:
                yield FilmRois(source.name, source.path, error=record.reason)

    def _preprocess(self, source: FilmSource) -> tuple[FilmSource, ShrunkFilm | RadiographError]:
        try:
            film = source.read(self.at_least)
            if max(film.width, film.height) < LEAST_SIDE:
                raise RadiographError(
                    f"{film.width}x{film.height} px, too small for a radiograph (at least {LEAST_SIDE} px)", source.name
                )
            return source, self.model.preprocess(film)
        except RadiographError as error:
            return source, error

    def _detect_in_time(self, source: FilmSource, film: ShrunkFilm, took: deque[float]) -> FilmRois | RadiographError:
        """The ROIs of a film, or why there are none; `took` has the seconds of earlier films and gets those of this one."""
        start = time.monotonic()
        seconds = self.film_timeout or max(LEAST_SECONDS, SLOWER * median(took or [0.0]))
        # torch can't be stopped
        until = dict(until=start + seconds) if isinstance(self.model, OnnxModel) else {}

        def infer(quarters: int, inverted: bool) -> FilmDetections:
            found = self.model.infer(film, quarters, inverted, **until)
            sides = (found.boxes[:, 2:] - found.boxes[:, :2]).round(3)  # as in files
            return found.at(sides.min(axis=1) > 0)  # others are in the padding

        try:
            record = self._detect(source, film, infer)
        except TimeoutError:
            return RadiographError(
                f"no result after {seconds:.3g} s, so it was given up: allow more (--film-timeout)", source.name
            )
        except RadiographError as error:
            return RadiographError(error.reason, source.name)
        took.append(time.monotonic() - start)
        return record

    def _detect(self, source: FilmSource, film: ShrunkFilm, infer: Infer) -> FilmRois:
        card = self.model.card
        found = upright(infer) if self.find_orientation and self.model.tells_orientation else infer(0, False)
        judged = judge(found, self.rois, self.limits, self.stated)
        paired = self.rois.paired | card.counts.paired
        return judged.record(
            source.name, source.path, card.classes, paired, film.patient_side, film.spacing, film.contrast
        )


class HipDetector(RoiDetector):
    """A `RoiDetector` with the bundled model, which finds hips, unless another model is named.

    >>> for film in HipDetector()("films"):
    ...     print(film.name, [roi.box for roi in film.rois], film.flags)
    """

    def __init__(self, model: str | Path | None = None, weights: str | Path | None = None, **options: Any) -> None:
        super().__init__(bundled_model() if model is None and weights is None else model, weights, **options)


def bundled_model() -> Path:
    """The file of the model that comes with hipdet.

    Raises:
        CheckpointError: there is none.
    """
    shipped = sorted(SHIPPED.glob("*.onnx"))
    if not shipped:
        raise CheckpointError(
            f"this hipdet has no bundled model (no .onnx file in {SHIPPED}): name one that hipdet export wrote, or a "
            f"config with its weights"
        )
    return shipped[-1]


def open_model(
    model: str | Path | None,
    weights: str | Path | None,
    threads: int | None = None,
    device: str = "cpu",
    runtime: str = "onnxruntime",
    precision: str = "float32",
) -> OnnxModel | TorchModel:
    """Open an exported model, also in a folder of hipdet fit, or a config with its weights.

    Raises:
        CheckpointError: no model is named, or it is missing or can't be read.
        ConfigError: no such config, or a runtime or precision that isn't available.
    """
    if model is None:
        if weights is not None:
            raise CheckpointError(f"{weights}: weights need a config: name the one that they were trained with")
        raise CheckpointError(
            "no model is named: give an .onnx file of hipdet export, a folder of hipdet fit, or a config with its weights; "
            "HipDetector() has the bundled model, for hips"
        )
    model = Path(model)
    if model.is_dir():  # of hipdet fit
        model /= FITTED
    if model.suffix == ".onnx":
        if weights is not None:
            raise CheckpointError(f"{weights}: {model} contains its weights: name weights only with a config")
        return OnnxModel(model, threads, runtime, precision)
    if weights is None:
        raise CheckpointError(f"{model}: a config needs weights: add a checkpoint, or name an exported model (.onnx)")
    if (runtime, precision) != ("onnxruntime", "float32"):
        raise ConfigError(f"{model}: a config runs in torch; runtime and precision are for exports (hipdet export)")
    try:
        from hipdet.export.torch_model import TorchModel
    except ImportError as error:
        raise CheckpointError(
            f"{weights}: a checkpoint needs torch and mmdet: pip install 'hipdet[mm]' ({error})"
        ) from error
    return TorchModel(model, Path(weights), device)

"""The detector: finds the ROIs on films."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError, RadiographError
from hipdet.inference.detections import DetectedRoi, FilmRois
from hipdet.inference.film_list import Films, FilmSource, ShrunkFilm, film_sources, read_ahead
from hipdet.inference.onnx_model import OnnxModel
from hipdet.inference.review import ReviewLimits, best_orientation, film_flags
from hipdet.version import RESULTS_VERSION

if TYPE_CHECKING:
    from hipdet.export.torch_model import TorchModel

SHIPPED = Path(__file__).resolve().parents[1] / "weights"
LEAST_SIDE = 64  # px of the long side; a hip of a tenth of it has 6
READERS = 2  # threads that read films
FITTED = "model.onnx"  # in a folder of hipdet fit


class HipDetector:
    """Finds the ROIs of radiographs.

    >>> detector = HipDetector()
    >>> for film in detector("films"):
    ...     print(film.name, [roi.box for roi in film.rois], film.flags)

    Args:
        model: ``.onnx`` file that hipdet export wrote, a folder that hipdet fit wrote, or a config; None for the bundled
            model.
        weights: Checkpoint, if `model` is a config.
        rois: How many ROIs a film should have; at most as many are returned.  A number or a range such as ``(1, 2)`` for all
            classes together, or one per class such as ``dict(heart=1, lung=(1, 2))``; by default the model's own.
        limits: Review limits; by default the model's own.
        find_orientation: Also run rotated and inverted versions of unusual films, and keep the best orientation.
        whole_films: Decode JPEG films at full size, even if a fraction would be enough: exact boxes for more time
            (docs/results/speed.md, "Reading").
        threads: Threads of an exported model; by default the runtime decides.
        runtime: Runtime of an exported model: ``onnxruntime``, or ``openvino`` (extra openvino).
        precision: ``float32``, or ``bfloat16`` in OpenVINO on processors that support it, which is faster; boxes differ by a
            few thousandths of the film's side (docs/results/speed.md).
        device: Device of a checkpoint, such as ``cuda:0``.
        strict: Raise an error for a film that can't be read; by default the film's record has the error.
        progress: Show a progress bar.

    Raises:
        CheckpointError: the model is missing or can't be read.
        ConfigError: no such config, invalid `rois`, or a runtime or precision that isn't available.
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
        strict: bool = False,
        progress: bool = False,
    ) -> None:
        self.model = open_model(model, weights, threads, device, runtime, precision)
        card = self.model.card
        self.rois = card.counts if rois is None else RoiCounts.of(rois, card.classes)
        self.limits = limits or card.limits
        self.find_orientation = find_orientation
        self.at_least = None if whole_films else self.model.at_least
        self.runtime = f"{runtime} {precision}"
        self.strict = strict
        self.progress = progress

    @property
    def settings(self) -> str:
        """Everything that results depend on, apart from the film."""
        return (  # stored results are looked up by this text, so old words stay in it
            f"results {RESULTS_VERSION}, {self.model.fingerprint}, rois {self.rois}, odd films {self.find_orientation}, "
            f"limits {self.limits}, long side {self.at_least}, {self.runtime}"
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
        for source, film in tqdm(prepared, total=total, unit="film", disable=None if self.progress else True):
            if not isinstance(film, RadiographError):
                yield self._detect(source, film)
            elif self.strict:
                raise film
            else:
                yield FilmRois(source.name, source.path, error=film.reason)

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

    def _detect(self, source: FilmSource, film: ShrunkFilm) -> FilmRois:
        infer, limits = partial(self.model.infer, film), self.limits
        found = best_orientation(film, infer, self.rois, limits) if self.find_orientation and limits else infer()
        least_score = limits.least_score if limits else 0.0  # without limits, any detection can be an ROI
        chosen, labels = found.best(self.rois, least_score), found.labels_from(least_score)
        sides = chosen.picture_sides(len(labels), film.patient_side)
        rois = tuple(
            DetectedRoi((x0, y0, x1, y1), score, self.model.card.classes[label], side)
            for (x0, y0, x1, y1), score, label, side in zip(
                chosen.stored_boxes().tolist(), chosen.scores.tolist(), chosen.labels.tolist(), sides
            )
        )
        flags = film_flags(chosen, labels if limits else chosen.labels, self.rois, limits)
        turned = 90 * chosen.quarters
        return FilmRois(source.name, source.path, film.width, film.height, rois, flags, turned, chosen.inverted)


def open_model(
    model: str | Path | None,
    weights: str | Path | None,
    threads: int | None = None,
    device: str = "cpu",
    runtime: str = "onnxruntime",
    precision: str = "float32",
) -> OnnxModel | TorchModel:
    """Open the bundled model, an exported model, or a config with its weights.

    Raises:
        CheckpointError: the model is missing or can't be read.
        ConfigError: no such config, or a runtime or precision that isn't available.
    """
    if model is None:
        if weights is not None:
            raise CheckpointError(f"{weights}: weights need a config: name the one that they were trained with")
        shipped = sorted(SHIPPED.glob("*.onnx"))
        if not shipped:
            raise CheckpointError(
                f"this hipdet has no bundled model (no .onnx file in {SHIPPED}): name one that hipdet export wrote, or a "
                f"config with its weights"
            )
        model = shipped[-1]
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

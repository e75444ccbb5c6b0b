"""Exported detectors: the model card inside the file, and the runtimes, onnxruntime and OpenVINO."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import as_boxes
from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.core.telemetry import switch_off
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm, shrink
from hipdet.inference.review import ReviewLimits
from hipdet.radiographs.grey import ReducedFilm

KEY = "hipdet"  # of the card in the metadata of an ONNX file
INPUT = (
    "film: grey values 0 to 255 of the upright film, bone bright, by area mean to a long side of `side` pixels, padded with "
    "0 at the right or the bottom; extent: its width and height in the square.  boxes: x0, y0, x1, y1 in pixels of the square"
)


@dataclass(frozen=True)
class ModelCard:
    """What a user needs to know to run a model.

    Attributes:
        config: Name of its config.
        classes: Class names in the order of its labels.
        side: Side of its square input in pixels.
        rois: ROIs that a film should have: a number or a range for all classes together, or one per class.
        limits: Review limits; None if the model isn't calibrated.
        about: Further texts: data, attribution, metrics, limits of use.
        hipdet: Version of hipdet that wrote the card.
        input: What the graph's inputs and outputs are.

    Raises:
        ConfigError: invalid `rois`.
    """

    config: str
    classes: tuple[str, ...]
    side: int
    rois: Counts
    limits: ReviewLimits | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    hipdet: str = ""
    input: str = INPUT

    def __post_init__(self) -> None:
        object.__setattr__(self, "rois", RoiCounts.of(self.rois, self.classes).to_json())

    @property
    def counts(self) -> RoiCounts:
        """`rois` as :class:`RoiCounts`."""
        return RoiCounts.of(self.rois, self.classes)

    def to_text(self) -> str:
        """The card as JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_text(cls, text: str | None, source: object) -> ModelCard:
        """Parse the result of :meth:`to_text`; errors name `source`, the file.

        Raises:
            CheckpointError: there is no card, or it can't be read.
        """
        again = "export the checkpoint again with hipdet export"
        if text is None:
            raise CheckpointError(f"{source}: an ONNX file without hipdet's metadata: {again}")
        try:
            values = json.loads(text)
            limits = values["limits"] and ReviewLimits.from_json(values["limits"], source)
            classes = tuple(str(name) for name in values["classes"])
            card = cls(
                str(values["config"]), classes, int(values["side"]), values["rois"], limits, dict(values["about"]),
                str(values["hipdet"]), str(values["input"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError, ConfigError) as error:
            raise CheckpointError(f"{source}: hipdet's metadata can't be read ({error!r}): {again}") from error
        if not classes or card.side < 1:
            raise CheckpointError(f"{source}: hipdet's metadata without classes or side: {again}")
        return card


PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
OUTPUTS = ["boxes", "scores", "labels"]
Found = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class OnnxRuntime:
    """onnxruntime on the CPU, in float32.

    Attributes:
        card: The model card in the file's metadata, as text; None if there is none.
    """

    def __init__(self, path: Path, content: bytes, threads: int | None) -> None:
        switch_off()
        try:
            import onnxruntime
        except ImportError as error:
            raise CheckpointError(f"{path}: needs the package onnxruntime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise _unreadable(path) from error
        self.card = self.session.get_modelmeta().custom_metadata_map.get(KEY)

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32]) -> Found:
        """Boxes ``[R, 4]``, scores ``[R]`` and labels ``[R]`` on `film` ``[1, 1, side, side]``; see `INPUT` for `extent`."""
        boxes, scores, labels = self.session.run(OUTPUTS, {"film": film, "extent": extent})
        return boxes, scores, labels


class OpenVino:
    """OpenVINO on the CPU, in float32, or with convolutions in bfloat16.

    A request holds the input and output of one film, so each thread has its own request.
    """

    def __init__(self, path: Path, content: bytes, threads: int | None, precision: str) -> None:
        switch_off()
        try:
            import openvino
        except ImportError as error:
            raise ConfigError("runtime openvino: the package is missing: pip install 'hipdet[openvino]'") from error
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError("precision bfloat16: this processor has no instructions for it: use float32")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],  # by default OpenVINO may choose bfloat16
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(content)
            self._compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:
            raise _unreadable(path) from error
        self._own = threading.local()
        self.card = model.get_rt_info(["framework", KEY]).astype(str) if model.has_rt_info(["framework", KEY]) else None

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32]) -> Found:
        """As :meth:`OnnxRuntime.run`."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer({"film": film, "extent": extent}, share_inputs=True)
        boxes, scores, labels = (found[name].copy() for name in OUTPUTS)  # the next call overwrites its memory
        return boxes, scores, labels


def open_runtime(
    path: Path, content: bytes, threads: int | None = None, runtime: str = "onnxruntime", precision: str = "float32"
) -> OnnxRuntime | OpenVino:
    """Load the graph in `content` into a runtime.

    Args:
        path: The file, as errors name it.
        content: The bytes of the file.
        threads: Threads of the network's operators; by default the runtime decides.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: ``float32``, or ``bfloat16`` in OpenVINO on processors that support it.

    Raises:
        CheckpointError: the file isn't a readable ONNX file, or onnxruntime isn't installed.
        ConfigError: an unknown or unavailable runtime or precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
    if runtime == "openvino":
        return OpenVino(path, content, threads, precision)
    if runtime != "onnxruntime":
        raise ConfigError(f"runtime {runtime!r}: expected onnxruntime or openvino")
    if precision != "float32":
        raise ConfigError(f"precision {precision}: onnxruntime computes in float32 only: choose runtime openvino, too")
    return OnnxRuntime(path, content, threads)


def _unreadable(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: not a readable ONNX file, perhaps cut short: copy or export it again")


# a JPEG's long side keeps at least this multiple of the square, and this many pixels (docs/results/speed.md, "Reading")
OVERSAMPLED, ENOUGH = 2, 1024


class OnnxModel:
    """A model that hipdet export wrote.

    Args:
        path: Its file.
        threads: Threads of the network's operators; by default the runtime decides.
        runtime: See :func:`hipdet.inference.onnx_model.open_runtime`.
        precision: See :func:`hipdet.inference.onnx_model.open_runtime`.

    Raises:
        CheckpointError: the file is missing, damaged, or not hipdet's.
        ConfigError: an unknown or unavailable runtime or precision.
    """

    def __init__(
        self, path: Path, threads: int | None = None, runtime: str = "onnxruntime", precision: str = "float32"
    ) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such model: expected an .onnx file that hipdet export wrote")
        content = path.read_bytes()
        self.runtime = open_runtime(path, content, threads, runtime, precision)
        self.card = ModelCard.from_text(self.runtime.card, path)
        digest = hashlib.sha256(content)
        if precision != "float32":
            digest.update(precision.encode())
        self.fingerprint = digest.hexdigest()
        self.at_least: int | None = max(OVERSAMPLED * self.card.side, ENOUGH)

    def preprocess(self, film: NDArray[np.uint8] | ReducedFilm) -> ShrunkFilm:
        """Reduce a film, whole ``[H, W]`` or decoded in part, to the model's input size."""
        return shrink(film, self.card.side)

    def infer(self, film: ShrunkFilm, quarters: int = 0, inverted: bool = False) -> FilmDetections:
        """Run the network on a film, after rotation by `quarters` x 90 degrees and inversion if `inverted`."""
        seen = film.seen(quarters, inverted)
        height, width = seen.pixels.shape
        boxes, scores, labels = self.runtime.run(seen.padded()[None, None], np.array([width, height], np.float32))
        found = np.flatnonzero(scores > 0)  # the graph pads its outputs with zeros
        boxes = np.clip(seen.to_film(as_boxes(boxes[found])), 0, [seen.width, seen.height] * 2)
        scores, labels = scores[found].astype(np.float64), labels[found].astype(np.int64)
        return FilmDetections(boxes, scores, labels, seen.width, seen.height, quarters, inverted)

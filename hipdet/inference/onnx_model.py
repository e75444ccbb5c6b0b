"""Exported detectors: the model card inside the file, and the runtimes, onnxruntime and OpenVINO."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import as_boxes
from hipdet.core.classes import Counts, RoiCounts
from hipdet.core.errors import CheckpointError, ConfigError, RadiographError
from hipdet.core.records import Record, is_whole, parse_json
from hipdet.core.telemetry import switch_off
from hipdet.inference.detections import LONGEST_LABEL, FilmDetections
from hipdet.inference.film_list import ShrunkFilm, shrink
from hipdet.inference.review import ReviewLimits
from hipdet.radiographs.grey import ReducedFilm

KEY = "hipdet"  # of the card in the metadata of an ONNX file
LEAST_SIDE, MOST_SIDE = 32, 4096  # px of the square input
MOST_THREADS = 1024
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
        rois: ROIs that a film may have: a number or a range for all classes together, or one per class.
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
        where = f"{source}: hipdet's metadata"
        card = Record.of(parse_json(text, where, "the card of a model", CheckpointError), where, CheckpointError, again)
        classes = card.texts("classes", longest=LONGEST_LABEL)
        if not classes or not all(classes) or len({*classes}) < len(classes):
            card.refuse("classes", "names of classes, each once")
        limits = card.values.get("limits")
        if "rois" not in card.values:
            card.refuse("rois", "a number of ROIs")
        try:
            return cls(
                card.text("config"), tuple(classes), card.whole("side", LEAST_SIDE, MOST_SIDE), card.values["rois"],
                None if limits is None else ReviewLimits.from_json(limits, f"{where}: limits"),
                card.record("about").values, card.text("hipdet"), card.text("input"),
            )  # fmt: skip
        except ConfigError as error:
            raise CheckpointError(f"{where}: {error}: {again}") from error


PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
OUTPUTS = {"boxes": "float", "scores": "float", "labels": "int64"}  # and their types
ORIENTATION = "orientation"  # an output, float, of models with an orientation head
Found = dict[str, NDArray[Any]]
Port = tuple[str, tuple[object, ...]]  # type of an input, and its shape, with whole numbers where it is fixed


class OnnxRuntime:
    """onnxruntime on the CPU, in float32.

    Attributes:
        card: The model card in the file's metadata, as text; None if there is none.
        inputs: Its inputs by name.
        outputs: Types of its outputs by name.
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
        self.inputs: dict[str, Port] = {
            each.name: (_type(each.type), tuple(each.shape)) for each in self.session.get_inputs()
        }
        self.outputs = {each.name: _type(each.type) for each in self.session.get_outputs()}
        self._options = onnxruntime.RunOptions

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32], seconds: float = math.inf) -> Found:
        """The outputs on `film` ``[1, 1, side, side]``; see `INPUT` for `extent`.

        They are ``boxes`` ``[R, 4]``, ``scores`` ``[R]`` and ``labels`` ``[R]``, and ``orientation`` ``[5]`` if the model
        tells it.

        Raises:
            TimeoutError: no result after `seconds`.
            RadiographError: the runtime refuses the film, or fails on it.
        """
        options = self._options()
        options.log_severity_level = 4  # its errors are reported here
        watch = threading.Timer(min(max(seconds, 0), threading.TIMEOUT_MAX), setattr, (options, "terminate", True))
        watch.daemon = True
        watch.start()
        try:
            names = wanted(self.outputs)
            found = self.session.run(names, {"film": film, "extent": extent}, options)
        except Exception as error:  # its exceptions share no base class
            raise TimeoutError if options.terminate else _failed(error) from error
        finally:
            watch.cancel()
        return dict(zip(names, found))


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
            if branching := {op.get_type_name() for op in model.get_ops()} & BRANCHING:
                raise CheckpointError(
                    f"{path}: its graph has {branching.pop()}, which OpenVINO can't stop if it has no end: use onnxruntime"
                )
            self._compiled = core.compile_model(model, "CPU", settings)
        except CheckpointError:
            raise
        except Exception as error:
            raise _unreadable(path) from error
        self._own = threading.local()
        self.card = model.get_rt_info(["framework", KEY]).astype(str) if model.has_rt_info(["framework", KEY]) else None
        self.inputs: dict[str, Port] = {
            each.get_any_name(): (_type(each.get_element_type().get_type_name()), _fixed(each)) for each in model.inputs
        }
        self.outputs = {
            name: _type(each.get_element_type().get_type_name()) for each in model.outputs for name in each.get_names()
        }

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32], seconds: float = math.inf) -> Found:
        """As :meth:`OnnxRuntime.run`; time is up after the operator that runs then."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request, late = self._own.request, False
        try:
            request.start_async({"film": film, "extent": extent}, share_inputs=True)
            if not request.wait_for(int(1000 * min(max(seconds, 0), 1e6))):
                request.cancel()
                late = True
            request.wait()
            found = {name: request.get_tensor(name).data.copy() for name in wanted(self.outputs)}  # overwritten later
        except Exception as error:
            raise TimeoutError if late else _failed(error) from error
        return found


def wanted(outputs: Mapping[str, str]) -> list[str]:
    """The outputs of a model that are read."""
    return [*OUTPUTS, *([ORIENTATION] if ORIENTATION in outputs else [])]


BRANCHING = {"If", "Loop", "TensorIterator"}  # operators with graphs of their own; no export of hipdet has them
_TYPES = {"u8": "uint8", "f32": "float", "i64": "int64"}  # OpenVINO's names as onnxruntime's


def _type(name: str) -> str:
    return _TYPES.get(name, name.replace("tensor(", "").rstrip(")"))


def _fixed(port: Any) -> tuple[object, ...]:
    shape = port.get_partial_shape()
    return tuple(each.get_length() if each.is_static else None for each in shape) if shape.rank.is_static else ()


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
        ConfigError: an unknown or unavailable runtime or precision, or a number of threads that no machine has.
    """
    if threads is not None and not (is_whole(threads) and 1 <= threads <= MOST_THREADS):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1 to {MOST_THREADS}")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
    if runtime == "openvino":
        return OpenVino(path, content, threads, precision)
    if runtime != "onnxruntime":
        raise ConfigError(f"runtime {runtime!r}: expected onnxruntime or openvino")
    if precision != "float32":
        raise ConfigError(f"precision {precision}: onnxruntime computes in float32 only: choose runtime openvino, too")
    return OnnxRuntime(path, content, threads)


def _failed(error: Exception) -> RadiographError:
    return RadiographError(f"the model fails on this film ({' '.join(str(error).split())[:200]}): export it again")


def _unreadable(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: not a readable ONNX file, perhaps cut short: copy or export it again")


# a JPEG's long side keeps at least this multiple of the square, and this many pixels (docs/results/speed.md, "Reading")
OVERSAMPLED, ENOUGH = 2, 1024
ROUNDING = 1e-3  # by which a score, or an edge in pixels of the square, may be wrong


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
        self._check_ports(path)
        digest = hashlib.sha256(content)
        if precision != "float32":
            digest.update(precision.encode())
        self.fingerprint = digest.hexdigest()
        self.at_least: int | None = max(OVERSAMPLED * self.card.side, ENOUGH)

    @property
    def tells_orientation(self) -> bool:
        """Whether the model has an orientation head."""
        return ORIENTATION in self.runtime.outputs

    def preprocess(self, film: NDArray[np.uint8] | ReducedFilm) -> ShrunkFilm:
        """Reduce a film, whole ``[H, W]`` or decoded in part, to the model's input size."""
        return shrink(film, self.card.side)

    def infer(
        self, film: ShrunkFilm, quarters: int = 0, inverted: bool = False, until: float = math.inf
    ) -> FilmDetections:
        """Run the network on a film, after rotation by `quarters` x 90 degrees and inversion if `inverted`.

        Raises:
            TimeoutError: no result at the time `until` of ``time.monotonic``.
            RadiographError: the network fails, or gives what can't be boxes, scores and labels.
        """
        seen = film.seen(quarters, inverted)
        height, width = seen.pixels.shape
        extent = np.array([width, height], np.float32)
        outputs = self.runtime.run(seen.padded()[None, None], extent, until - time.monotonic())
        boxes, scores, labels = (outputs[name] for name in OUTPUTS)
        if scores.ndim != 1 or boxes.shape != (len(scores), 4) or labels.shape != scores.shape:
            shapes = [list(each.shape) for each in (boxes, scores, labels)]
            raise _senseless(f"boxes, scores and labels of shapes {shapes}, expected [R, 4], [R] and [R]")
        found = np.flatnonzero(scores != 0)  # the graph pads its outputs with zeros
        boxes, scores, labels = boxes[found], scores[found].astype(np.float64), labels[found].astype(np.int64)
        self._check_found(boxes, scores, labels)
        boxes = np.clip(seen.to_film(as_boxes(boxes)), 0, [seen.width, seen.height] * 2)
        orientation = outputs.get(ORIENTATION)
        if orientation is not None:
            orientation = orientation.astype(np.float64)
            if orientation.shape != (5,) or not ((orientation >= 0) & (orientation <= 1 + ROUNDING)).all():
                raise _senseless(f"an orientation of {orientation.tolist()}, expected five probabilities")
        return FilmDetections(
            boxes, scores.clip(0, 1), labels, seen.width, seen.height, quarters, inverted, orientation
        )

    def _check_ports(self, path: Path) -> None:
        """Check that the graph takes films of the card's side.

        Raises:
            CheckpointError: it doesn't, or lacks an output.
        """
        again = "export the checkpoint again with hipdet export"
        expected: dict[str, Port] = {"film": ("uint8", (1, 1, *[self.card.side] * 2)), "extent": ("float", (2,))}
        for name, (kind, shape) in expected.items():
            found, size = self.runtime.inputs.get(name, ("missing", ()))
            fits = len(size) == len(shape) and all(
                side in (s, None) or isinstance(side, str) for side, s in zip(size, shape)
            )
            if found != kind or not fits:
                raise CheckpointError(
                    f"{path}: input {name} is {found} {list(size)}, expected {kind} {list(shape)} as by its metadata: {again}"
                )
        for name, kind in OUTPUTS.items():
            if (found := self.runtime.outputs.get(name, "missing")) != kind:
                raise CheckpointError(f"{path}: output {name} is {found}, expected {kind}: {again}")

    def _check_found(self, boxes: NDArray[Any], scores: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        """Check `boxes` ``[N, 4]``, `scores` ``[N]`` and `labels` ``[N]`` of the network.

        Raises:
            RadiographError: no detections are like this.
        """
        if not ((scores >= 0) & (scores <= 1 + ROUNDING)).all():  # false for NaN
            raise _senseless(f"scores from {scores.min():.4g} to {scores.max():.4g}, expected 0 to 1")
        if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2] - ROUNDING).any():
            raise _senseless("boxes of negative size or of no numbers")
        if ((labels < 0) | (labels >= len(self.card.classes))).any():
            raise _senseless(
                f"labels from {labels.min()} to {labels.max()}, expected 0 to {len(self.card.classes) - 1}"
            )


def _senseless(found: str) -> RadiographError:
    return RadiographError(f"the model gives {found}: export it again")

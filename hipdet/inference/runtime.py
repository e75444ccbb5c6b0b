"""What runs an exported graph: onnxruntime, or OpenVINO where it is asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hipdet.errors import CheckpointError, ConfigError
from hipdet.inference.model_card import KEY

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
OUTPUTS = ["boxes", "scores", "labels"]
Found = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class Runtime(Protocol):
    """A graph that is ready to run.

    Attributes:
        card: Text of hipdet's metadata in its file; None without.
    """

    card: str | None

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32]) -> Found:
        """Boxes ``[R, 4]``, scores ``[R]`` and labels ``[R]`` of a film ``[1, 1, side, side]``."""


class OnnxRuntime:
    """onnxruntime on the CPU, in float32."""

    def __init__(self, path: Path, content: bytes, threads: int | None) -> None:
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
        except Exception as error:  # its own exceptions share no base
            raise _unreadable(path) from error
        self.card = self.session.get_modelmeta().custom_metadata_map.get(KEY)

    def run(self, film: NDArray[np.uint8], extent: NDArray[np.float32]) -> Found:
        """See :class:`Runtime`."""
        boxes, scores, labels = self.session.run(OUTPUTS, {"film": film, "extent": extent})
        return boxes, scores, labels


class OpenVino:
    """OpenVINO on the CPU, in float32, or with its convolutions in bfloat16.

    A request holds one film's input and output, so every thread has its own.
    """

    def __init__(self, path: Path, content: bytes, threads: int | None, precision: str) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ConfigError("runtime openvino: needs the package: pip install 'hipdet[openvino]'") from error
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError("precision bfloat16: this processor has no instructions for it: leave it at float32")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],  # its own choice would be bfloat16
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
        """See :class:`Runtime`."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer({"film": film, "extent": extent}, share_inputs=True)
        boxes, scores, labels = (found[name].copy() for name in OUTPUTS)  # its memory is used again
        return boxes, scores, labels


def open_runtime(
    path: Path, content: bytes, threads: int | None = None, runtime: str = "onnxruntime", precision: str = "float32"
) -> Runtime:
    """Make the graph in `content` ready to run; `path` is what errors call it.

    Args:
        path: Its file.
        content: The bytes of the file.
        threads: Of a network's operators; the runtime's choice if not given.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: ``float32``, or in OpenVINO ``bfloat16``, on processors that have it.

    Raises:
        CheckpointError: not a readable ONNX file.
        ConfigError: a runtime or a precision that isn't there.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
    if runtime == "openvino":
        return OpenVino(path, content, threads, precision)
    if runtime != "onnxruntime":
        raise ConfigError(f"runtime {runtime!r}: expected onnxruntime or openvino")
    if precision != "float32":
        raise ConfigError(f"precision {precision}: onnxruntime computes in float32; name runtime openvino too")
    return OnnxRuntime(path, content, threads)


def _unreadable(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: not a readable ONNX file, perhaps cut short: get it again")

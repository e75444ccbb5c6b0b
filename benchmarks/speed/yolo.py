"""A YOLO detector from its exported ONNX file, from a film's file to its boxes; ultralytics isn't imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.inference.onnx_model import PRECISIONS, OnnxRuntime

GREY = 114  # padding of ultralytics' letterbox
LEAST_SCORE, MOST_OVERLAP, MOST = 0.25, 0.7, 300  # ultralytics' defaults


class Yolo:
    """Reads a film, letterboxes and normalises it, runs the network, decodes boxes and suppresses overlaps.

    Args:
        path: File that ultralytics exported: input ``[1, 3, S, S]``, output ``[1, 4 + classes, candidates]``.
        threads: Number of threads of the network.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: ``float32`` or ``bfloat16``; only for OpenVINO.
    """

    def __init__(self, path: Path, threads: int, runtime: str = "onnxruntime", precision: str = "float32") -> None:
        if runtime == "openvino":
            import openvino

            settings = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            }
            compiled = openvino.Core().compile_model(str(path), "CPU", settings)
            self.side = int(compiled.input(0).shape[2])
            request = compiled.create_infer_request()
            self.network = lambda batch: request.infer([batch], share_inputs=True)[0]
        else:
            session = OnnxRuntime(path, path.read_bytes(), threads).session
            name, self.side = session.get_inputs()[0].name, int(session.get_inputs()[0].shape[2])
            self.network = lambda batch: session.run(None, {name: batch})[0]

    def __call__(self, path: Path) -> Boxes:
        """Boxes, best first, ``[N, 4]`` in pixels of the film."""
        film = cv2.imread(str(path))
        assert film is not None
        batch, scale, left, top = self.letterboxed(film)
        found = self.network(batch)[0].T  # [candidates, 4 + classes]
        scores = found[:, 4:].max(axis=1)
        found, scores = found[scores > LEAST_SCORE], scores[scores > LEAST_SCORE]
        corner, sides = found[:, :2] - found[:, 2:4] / 2, found[:, 2:4]
        kept = cv2.dnn.NMSBoxes(np.hstack([corner, sides]).tolist(), scores.tolist(), LEAST_SCORE, MOST_OVERLAP)
        best = np.array(kept, dtype=np.int64)[:MOST]  # best first
        boxes = np.hstack([corner, corner + sides])[best].astype(np.float64)
        return (boxes - [left, top, left, top]) / scale

    def letterboxed(self, film: NDArray[Any]) -> tuple[NDArray[np.float32], float, int, int]:
        """The letterboxed film ``[1, 3, S, S]``, its scale, and the left and top of the film in pixels of the square."""
        height, width = film.shape[:2]
        scale = self.side / max(height, width)
        size = round(width * scale), round(height * scale)
        left, top = (self.side - size[0]) // 2, (self.side - size[1]) // 2
        square = np.full((self.side, self.side, 3), GREY, np.uint8)
        square[top : top + size[1], left : left + size[0]] = cv2.resize(film, size, interpolation=cv2.INTER_LINEAR)
        batch = np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
        return batch, scale, left, top

"""Detectors as graphs of plain operators, for runtimes that know nothing of torch or mmdet."""

from hipdet.export.graph import DetectorGraph
from hipdet.export.onnx_file import write_onnx

__all__ = ["DetectorGraph", "write_onnx"]

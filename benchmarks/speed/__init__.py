"""The parts of benchmarks/benchmark.py."""

from hipdet.core.telemetry import switch_off

switch_off()  # before any of its files imports onnxruntime or OpenVINO

"""The parts of benchmarks/benchmark.py."""

"""Detectors as graphs of plain operators, for runtimes that know nothing of torch or mmdet."""

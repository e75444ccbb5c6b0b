"""Parts of ``benchmarks/compare_folds.py``: folds, the other detectors, and the tables."""

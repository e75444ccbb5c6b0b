"""The version of hipdet, and of the rules for results."""

from __future__ import annotations

__version__ = "0.1.0"

# Version of the rules that turn a model's outputs into results.  Raise it with every change after which the same model gives
# other boxes, scores, classes, sides, orientations or flags on the same film: stored results are then computed again.
RESULTS_VERSION = 7

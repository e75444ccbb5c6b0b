"""The one place where versions stand."""

from __future__ import annotations

__version__ = "0.1.0"

# Of the rules by which a model's outputs become results.  Raise it with every change after which the same model finds other
# boxes, scores, classes, sides, turns or flags on the same film: what was found by other rules is then found again.
RESULTS_VERSION = 4

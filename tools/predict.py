#!/usr/bin/env python3
"""Find the ROIs of films: COCO results, a table, and a list of films that a person should look at."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hipdet.cli.predict import main

if __name__ == "__main__":
    main()

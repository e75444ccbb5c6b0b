#!/usr/bin/env python3
"""Cut the ROIs out of their films: square crops for a second stage, with a table that leads back to the films."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hipdet.cli.crop import main

if __name__ == "__main__":
    main()

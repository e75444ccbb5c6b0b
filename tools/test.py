#!/usr/bin/env python3
"""``hipdet test`` under the name that mmdet's users know."""

import sys

from hipdet.cli.main import main

if __name__ == "__main__":
    main(["test", *sys.argv[1:]])

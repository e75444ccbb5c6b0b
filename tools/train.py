#!/usr/bin/env python3
"""``hipdet train`` under the name that mmdet's users know."""

import sys

from hipdet.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])

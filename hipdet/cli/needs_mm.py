"""Imported first by tools that need the extra mm: where it is missing they end with the line to install.

Also sets what torch reads when it makes its first tensor.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from hipdet.cli.errors import USER_ERROR

PACKAGES = ("torch", "mmengine", "mmcv", "mmdet", "cv2", "scipy", "matplotlib", "pycocotools")


def require(packages: tuple[str, ...] = PACKAGES) -> None:
    """End the program with exit status 2 unless all `packages` are installed; nothing is imported."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        print(f"error: this tool needs {', '.join(missing)}: pip install 'hipdet[mm]'", file=sys.stderr)
        sys.exit(USER_ERROR)


require()
# large tensors on large pages: a training step touches fresh memory all the time (docs/speed.md, "Training")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

"""The gate before training."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from hipdet.coco.faults import raise_faults
from hipdet.validation.validate import Expected, validate

log = logging.getLogger(__name__)


def require_valid(
    path: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The annotations at `path`, if neither they nor, with `image_root`, the films below it have an error.

    Warnings are counted in one line of the log.

    Raises:
        DatasetError: the number of errors and the first 20.
    """
    coco, faults = validate(path, image_root, Expected.of_classes(classes))
    raise_faults(os.fspath(path), [str(fault) for fault in faults if not fault.warning])
    if faults:
        kinds = ", ".join(sorted({fault.kind for fault in faults}))
        log.warning("%s: %d warnings (%s); tools/validate.py shows them", os.path.basename(path), len(faults), kinds)
    return coco

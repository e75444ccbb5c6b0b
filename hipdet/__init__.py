"""hipdet: ROI detection in radiographs, a model-zoo plug-in for MMDetection 3.x.

Importing hipdet makes mmcv-lite usable by mmdet.  Where mmengine is already loaded (a config's ``custom_imports``) it
also registers hipdet's components; elsewhere ``import hipdet.plugin`` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hipdet import compat
from hipdet.version import __version__

if TYPE_CHECKING:
    from hipdet.inference import HipDetector

__all__ = ["HipDetector", "__version__"]

compat.install()
if "mmengine" in sys.modules:
    import hipdet.plugin  # noqa: F401


def __getattr__(name: str) -> Any:
    if name == "HipDetector":  # on demand: `import hipdet` stays light
        from hipdet.inference import HipDetector

        return HipDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

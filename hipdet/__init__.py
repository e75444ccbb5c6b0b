"""hipdet: ROI detection in radiographs, a model-zoo plug-in for MMDetection 3.x.

Importing hipdet has no side effects.  ``hipdet.plugin`` registers the mmdet components, and
``hipdet.mmcv_lite.install()`` lets mmdet run on mmcv-lite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hipdet.version import __version__

if TYPE_CHECKING:
    from hipdet.inference.detector import HipDetector, RoiDetector

__all__ = ["HipDetector", "RoiDetector", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("HipDetector", "RoiDetector"):  # on demand: `import hipdet` stays light
        from hipdet.inference import detector

        return getattr(detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

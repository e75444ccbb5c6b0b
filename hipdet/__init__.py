"""hipdet: ROI detection in radiographs, a model-zoo plug-in for MMDetection 3.x."""

from hipdet.version import __version__

__all__ = ["__version__"]

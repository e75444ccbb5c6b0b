"""hipdet: ROI detection in radiographs, a model-zoo plug-in for MMDetection 3.x.

Importing hipdet makes mmcv-lite usable by mmdet.  Where mmengine is already loaded (a config's ``custom_imports``) it
also registers hipdet's components; elsewhere ``import hipdet.plugin`` does.
"""

import sys

from hipdet import compat
from hipdet.version import __version__

__all__ = ["__version__"]

compat.install()
if "mmengine" in sys.modules:
    import hipdet.plugin  # noqa: F401

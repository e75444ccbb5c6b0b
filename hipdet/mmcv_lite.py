"""mmdet on mmcv-lite: a stand-in for the compiled extension ``mmcv._ext``.

``mmdet.models`` imports ``mmcv.ops``, which imports ``mmcv._ext``.  The finder below is the *last* on ``sys.meta_path``, so
that a compiled mmcv always wins, and finds this one name only.  A single-stage detector calls only its operator ``nms``; all
other operators raise an error that says what to install.

hipdet's own commands install the finder, as do ``hipdet.plugin``, ``hipdet.models`` and ``hipdet.engine``.  A notebook calls
:func:`install`; a script that imports mmdet before hipdet runs as

    python -m hipdet.mmcv_lite SCRIPT [arguments]
    python -m torch.distributed.run --nproc_per_node 8 -m hipdet.mmcv_lite SCRIPT [arguments] --launcher pytorch
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

EXTENSION = "mmcv._ext"
SCRIPT = "HIPDET_SCRIPT"  # environment variable with the script's path: processes that it spawns run this file again


def install() -> None:
    """Add the finder to ``sys.meta_path`` unless it is there, and ``pkgutil.find_loader`` where Python lacks it.

    This is cheap: nothing is imported until mmcv is.
    Classes are compared by name, as ``python -m hipdet.mmcv_lite`` runs this file under another module name.
    """
    if not any(type(finder).__name__ == ExtensionFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.append(ExtensionFinder())
    if not hasattr(pkgutil, "find_loader"):  # Python 3.14 dropped it, and mmengine 0.10.7 asks it for mmcv._ext
        pkgutil.find_loader = find_loader


def find_loader(fullname: str) -> Any:
    """Find the loader of module `fullname`, or None: ``pkgutil.find_loader`` as Python 3.13 has it."""
    spec = importlib.util.find_spec(fullname)
    return spec and spec.loader


class ExtensionFinder:
    """Finds ``mmcv._ext`` if no finder before it on ``sys.meta_path`` does."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """The spec of ``mmcv._ext``; None for any other module."""
        return ModuleSpec(name, self) if name == EXTENSION else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the stand-in module."""
        return ExtensionModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: operators are attributes of the module's class."""


def _nms(boxes: Any, scores: Any, iou_threshold: float, offset: int) -> Any:
    """Use torchvision's kernel if it is installed; it lacks `offset`, mmcv's old convention of adding 1 pixel to sides."""
    torchvision = import_torchvision()
    if torchvision is None or offset:
        return _torch_nms(boxes, scores, iou_threshold, offset)
    return torchvision.ops.nms(boxes, scores, iou_threshold)


class ExtensionModule(ModuleType):
    """``mmcv._ext`` with ``nms``; any other operator can be looked up but not called."""

    nms = staticmethod(_nms)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python itself asks for these, such as __path__
            raise AttributeError(name)

        def missing_operator(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(
                f"mmcv.ops.{name} needs the compiled mmcv; this environment has mmcv-lite, for which hipdet provides only "
                f"`nms`. Install the full package (pip install mmcv==2.1.0, which compiles for about 20 minutes) or use "
                f"a model without this operator."
            )

        return missing_operator


def _torch_nms(boxes: Any, scores: Any, iou_threshold: float, offset: int) -> Any:
    """Greedy non-maximum suppression of xyxy `boxes` ``[N, 4]`` by `scores` ``[N]``; returns the kept indices, best first."""
    import numpy as np
    import torch

    order = torch.argsort(scores, descending=True, stable=True).cpu().numpy()
    # in numpy, which takes a quarter of torch's time on a few dozen boxes
    x0, y0, x1, y1 = boxes.detach().cpu().to(torch.promote_types(boxes.dtype, torch.float32)).numpy().T
    area = (x1 - x0 + offset) * (y1 - y0 + offset)
    kept: list[int] = []
    with np.errstate(invalid="ignore"):  # two boxes without area have IoU NaN: the second one is dropped
        while len(order):
            best, order = int(order[0]), order[1:]
            kept.append(best)
            width = (np.minimum(x1[order], x1[best]) - np.maximum(x0[order], x0[best]) + offset).clip(min=0)
            height = (np.minimum(y1[order], y1[best]) - np.maximum(y0[order], y0[best]) + offset).clip(min=0)
            overlap = width * height
            order = order[overlap / (area[best] + area[order] - overlap) <= iou_threshold]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def import_torchvision() -> ModuleType | None:
    """torchvision, or None if it is missing or can't be imported.

    A torchvision that was built for another torch raises RuntimeError on import.  mmengine and mmdet only handle a *missing*
    one (ModuleNotFoundError), so it is marked as missing for the rest of the process.
    """
    try:
        return importlib.import_module("torchvision")
    except ImportError:
        return None
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        return None


def main(module: ModuleType) -> None:
    """Run ``SCRIPT [arguments]`` of the command line in `module`, as ``python SCRIPT`` does, with the stand-in installed."""
    if module.__name__ == "__main__":
        if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
            print("usage: python -m hipdet.mmcv_lite SCRIPT [arguments]: run a script that imports mmdet, on mmcv-lite")
            sys.exit(0 if len(sys.argv) > 1 else 2)
        del sys.argv[0]
        if not Path(sys.argv[0]).is_file():
            sys.exit(f"error: {sys.argv[0]}: no such script: check the path")
        os.environ[SCRIPT] = str(Path(sys.argv[0]).resolve())
        sys.path[0] = str(Path(os.environ[SCRIPT]).parent)  # where `python SCRIPT` searches for modules first
    script = Path(os.environ[SCRIPT])
    install()
    names = vars(module)
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    names.update(__file__=str(script), __doc__=None)
    exec(compile(script.read_bytes(), str(script), "exec", dont_inherit=True), names)


if __name__ in ("__main__", "__mp_main__"):
    import hipdet.mmcv_lite

    hipdet.mmcv_lite.main(sys.modules[__name__])  # this module becomes the one that SCRIPT runs in

"""mmdet on mmcv-lite: a stand-in for the compiled extension ``mmcv._ext``.

``mmdet.models`` imports ``mmcv.ops``, which wants ``mmcv._ext``.  The finder below stands *last* on ``sys.meta_path``, so
that a compiled mmcv always wins, and answers for that one name.  A single-stage detector calls one operator of it, ``nms``;
every other one raises an error that says what to install.

hipdet's own commands install it themselves, as do ``hipdet.plugin``, ``hipdet.models`` and ``hipdet.engine``.  A notebook
calls :func:`install`; a script that imports mmdet first runs as

    python -m hipdet.mmcv_lite SCRIPT [arguments]
    python -m torch.distributed.run --nproc_per_node 8 -m hipdet.mmcv_lite SCRIPT [arguments] --launcher pytorch
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

EXTENSION = "mmcv._ext"
SCRIPT = "HIPDET_SCRIPT"  # in the environment of the processes that it spawns, which run this file again


def install() -> None:
    """Put the finder on ``sys.meta_path``, once.  Cheap: nothing is imported until mmcv asks.

    ``python -m hipdet.mmcv_lite`` runs this file under another module name, hence the comparison by name.
    """
    if not any(type(finder).__name__ == ExtensionFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.append(ExtensionFinder())


class ExtensionFinder:
    """Finds ``mmcv._ext`` when nothing before it on ``sys.meta_path`` did."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Answer for ``mmcv._ext`` alone."""
        return ModuleSpec(name, self) if name == EXTENSION else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the stand-in module."""
        return ExtensionModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the operators are looked up by name."""


def _nms(boxes: Any, scores: Any, iou_threshold: float, offset: int) -> Any:
    """torchvision's kernel where there is one; it lacks `offset`, mmcv's legacy +1 pixel convention."""
    torchvision = import_torchvision()
    if torchvision is None or offset:
        return _torch_nms(boxes, scores, iou_threshold, offset)
    return torchvision.ops.nms(boxes, scores, iou_threshold)


class ExtensionModule(ModuleType):
    """``mmcv._ext`` with ``nms``; any other operator can be looked up but not called."""

    nms = staticmethod(_nms)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, such as __path__
            raise AttributeError(name)

        def missing_operator(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(
                f"mmcv.ops.{name} needs compiled mmcv, and this environment has mmcv-lite, for which hipdet offers "
                f"only `nms`. Install the full package (pip install mmcv==2.1.0, compiles for about 20 minutes) or "
                f"use a model without this operator."
            )

        return missing_operator


def _torch_nms(boxes: Any, scores: Any, iou_threshold: float, offset: int) -> Any:
    """Greedy non-maximum suppression of xyxy `boxes` ``[N, 4]`` by `scores` ``[N]``; kept indices, best first."""
    import numpy as np
    import torch

    order = torch.argsort(scores, descending=True, stable=True).cpu().numpy()
    # in numpy, whose operators on a few dozen boxes take a quarter of torch's time
    x0, y0, x1, y1 = boxes.detach().cpu().to(torch.promote_types(boxes.dtype, torch.float32)).numpy().T
    area = (x1 - x0 + offset) * (y1 - y0 + offset)
    kept: list[int] = []
    with np.errstate(invalid="ignore"):  # the IoU of two boxes without area isn't a number: the second one goes
        while len(order):
            best, order = int(order[0]), order[1:]
            kept.append(best)
            width = (np.minimum(x1[order], x1[best]) - np.maximum(x0[order], x0[best]) + offset).clip(min=0)
            height = (np.minimum(y1[order], y1[best]) - np.maximum(y0[order], y0[best]) + offset).clip(min=0)
            overlap = width * height
            order = order[overlap / (area[best] + area[order] - overlap) <= iou_threshold]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def import_torchvision() -> ModuleType | None:
    """torchvision, or None where it is missing or can't be imported.

    A torchvision built for another torch raises RuntimeError on import; mmengine and mmdet only expect it to be *missing*
    (ModuleNotFoundError), so such a one is marked as missing for the rest of the process.
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
    """Run ``SCRIPT [arguments]`` of the command line in `module` as ``python SCRIPT`` does, with the stand-in installed."""
    if module.__name__ == "__main__":
        if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
            print("usage: python -m hipdet.mmcv_lite SCRIPT [arguments]: a script that imports mmdet, on mmcv-lite")
            sys.exit(0 if len(sys.argv) > 1 else 2)
        del sys.argv[0]
        if not Path(sys.argv[0]).is_file():
            sys.exit(f"error: {sys.argv[0]}: no such script")
        os.environ[SCRIPT] = str(Path(sys.argv[0]).resolve())
        sys.path[0] = str(Path(os.environ[SCRIPT]).parent)  # where `python SCRIPT` looks first
    script = Path(os.environ[SCRIPT])
    install()
    names = vars(module)
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    names.update(__file__=str(script), __doc__=None)
    exec(compile(script.read_bytes(), str(script), "exec", dont_inherit=True), names)


if __name__ in ("__main__", "__mp_main__"):
    import hipdet.mmcv_lite

    hipdet.mmcv_lite.main(sys.modules[__name__])  # this module becomes that of SCRIPT

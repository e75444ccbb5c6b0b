"""``hipdet COMMAND``: the commands in the order of the road, each with the extra that it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, NoReturn

from hipdet.cli.errors import USER_ERROR, reports_errors
from hipdet.core.versions import check_versions
from hipdet.version import __version__


class Command(NamedTuple):
    """A command: the module of its name in ``hipdet.cli``, the extra that it needs, and what it does."""

    name: str
    extra: str | None
    help: str


COMMANDS = (
    Command("predict", None, "find the ROIs of films"),
    Command("crop", None, "cut them out of their films, for a second stage"),
    Command("annotate", "annotate", "label films in the browser"),
    Command("agree", "data", "how well two people, or a person and a model, agree"),
    Command("convert", "data", "films and label files of any tool to COCO"),
    Command("validate", "data", "find every fault of annotations and films"),
    Command("split", "data", "split annotations by patient"),
    Command("anchors", "anchors", "read the anchors off the annotations"),
    Command("browse", "data", "films with their labels, or as training sees them"),
    Command("train", "mm", "train a detector"),
    Command("test", "mm", "test it: COCO mAP and ROI metrics"),
    Command("cross-validate", "mm", "train and test on folds, and compare recipes"),
    Command("gallery", None, "detections beside labels, worst first, as a picture or a page"),
    Command("plot", "plot", "plots of ratios, anchors, IoU, calibration, learning curves"),
    Command("export", "mm", "a checkpoint as one ONNX file"),
    Command("publish", "mm", "a checkpoint as files to give away"),
    Command("experiments", "mm", "the paper's experiments and tables"),
    Command("phantoms", "phantoms", "synthetic films with known hips"),
)

# the modules that show whether an extra is installed, as they are imported
EXTRAS = {
    "data": ("scipy", "pycocotools", "yaml"),
    "plot": ("scipy", "pycocotools", "matplotlib"),
    "annotate": ("werkzeug", "scipy", "pycocotools"),
    "phantoms": ("cv2",),
    "anchors": ("torch", "mmengine", "scipy", "pycocotools", "matplotlib"),
    "mm": ("torch", "mmengine", "mmcv", "mmdet", "cv2", "scipy", "matplotlib", "pycocotools"),
}


@reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Run ``hipdet COMMAND ...``.

    Args:
        argv: What was typed after ``hipdet`` (default: the program's own arguments).
    """
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(overview())
        return
    if name in ("-V", "--version"):
        print(f"hipdet {__version__}")
        return
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [command.name for command in COMMANDS], 1)
        _end(f"no command {name!r}" + (f", did you mean {near[0]!r}?" if near else "") + " (hipdet --help lists them)")
    require(command.extra, name)
    import_module(f"hipdet.cli.{name.replace('-', '_')}").main(rest)


def overview() -> str:
    """What ``hipdet --help`` prints."""
    lines = [f"  {name:<15} {extra or '':<9} {text}" for name, extra, text in COMMANDS]
    return "\n".join(
        [
            "usage: hipdet COMMAND [options]      hipdet COMMAND --help shows examples",
            "",
            "ROI detection in radiographs: from films to crops, from labels to a trained detector.",
            "",
            f"  {'command':<15} {'needs':<9}",
            *lines,
            "",
            "needs: the extra to install, for instance pip install 'hipdet[data]'.  hipdet --version prints the version.",
        ]
    )


def require(extra: str | None, name: str) -> None:
    """End the program with exit status 2 where `extra`, which the command `name` needs, isn't installed; else set it up."""
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None] if extra else []
    if missing:
        _end(f"hipdet {name} needs {', '.join(missing)}: pip install 'hipdet[{extra}]'")
    if extra == "mm":
        try:
            check_versions()
        except ImportError as error:
            _end(str(error))
        # read when torch makes its first tensor: large tensors on large pages (docs/speed.md, "Training")
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        import_module("hipdet.plugin")


def hipdet_predict() -> None:
    """``hipdet-predict``, which goes with the next version."""
    _under_old_name("predict")


def hipdet_crop() -> None:
    """``hipdet-crop``, which goes with the next version."""
    _under_old_name("crop")


def _under_old_name(name: str) -> None:
    print(f"hipdet-{name} goes with the next version: type hipdet {name}", file=sys.stderr)
    main([name, *sys.argv[1:]])


def _end(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    sys.exit(USER_ERROR)

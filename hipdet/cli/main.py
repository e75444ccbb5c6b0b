"""``hipdet COMMAND``: the commands in the order of the road, what each needs, and what they share: errors, parsers, types."""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, NoReturn

from hipdet.core.errors import HipdetError
from hipdet.core.versions import check_versions
from hipdet.version import __version__

if "__mp_main__" in sys.modules:  # a process that a training spawned: it imports this file again, and mmdet next
    import_module("hipdet.mmcv_lite").install()

USER_ERROR = 2
INTERRUPTED = 130  # as shells have it


def reports_errors(main: Callable[..., None]) -> Callable[..., None]:
    """Print a :class:`HipdetError` of `main`, or a path that can't be used, to stderr and exit with 2.

    Other errors keep their traceback: they are ours.
    """

    @functools.wraps(main)
    def wrapper(*argv: Sequence[str]) -> None:
        try:
            main(*argv)
        except HipdetError as error:
            print(f"error: {_cause(error)}", file=sys.stderr)
            sys.exit(USER_ERROR)
        except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(USER_ERROR)
        except KeyboardInterrupt:
            print("interrupted: files that were begun are not there, what was finished is", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader of our output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python flushes into the pipe at its end
            sys.exit(0)

    return wrapper


def _cause(error: HipdetError) -> str:
    """The message, also where torch wrapped it in the traceback of a data loader's worker."""
    text = str(error)
    marker = f"{type(error).__name__}: "
    return text.rpartition(marker)[2].strip() if "Original Traceback" in text else text


class Command(NamedTuple):
    """A command: the module of its name in ``hipdet.cli``, the extras that it needs, and what it does."""

    name: str
    extras: tuple[str, ...]
    help: str


COMMANDS = (
    Command("predict", (), "find the ROIs of films"),
    Command("crop", (), "cut them out of their films, for a second stage"),
    Command("annotate", ("annotate",), "label films in the browser"),
    Command("agree", ("data",), "how well two people, or a person and a model, agree"),
    Command("convert", ("data",), "films and label files of any tool to COCO"),
    Command("validate", ("data",), "find every fault of annotations and films"),
    Command("split", ("data",), "split annotations by patient"),
    Command("anchors", ("anchors",), "read the anchors off the annotations"),
    Command("browse", ("data",), "films with their labels, or as training sees them"),
    Command("train", ("mm",), "train a detector"),
    Command("test", ("mm",), "test it: COCO mAP and ROI metrics"),
    Command("cross-validate", ("mm",), "train and test on folds, and compare recipes"),
    Command("gallery", (), "detections beside labels, worst first, as a picture or a page"),
    Command("plot", ("plot",), "plots of ratios, anchors, IoU, calibration, learning curves"),
    Command("export", ("mm", "export"), "a checkpoint as one ONNX file"),
    Command("publish", ("mm", "publish"), "a checkpoint as files to give away"),
    Command("experiments", ("mm",), "the paper's experiments and tables"),
    Command("phantoms", ("phantoms",), "synthetic films with known hips"),
)

# the modules that show whether an extra is installed, as they are imported
EXTRAS = {
    "data": ("scipy", "pycocotools"),
    "plot": ("scipy", "pycocotools", "matplotlib"),
    "annotate": ("werkzeug", "scipy", "pycocotools"),
    "phantoms": ("cv2",),
    "anchors": ("torch", "mmengine", "scipy", "pycocotools", "matplotlib"),
    "export": ("onnx", "onnxscript"),
    "publish": ("safetensors",),
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
    require(command.extras, name)
    import_module(f"hipdet.cli.{name.replace('-', '_')}").main(rest)


def overview() -> str:
    """What ``hipdet --help`` prints."""
    lines = [f"  {name:<15} {','.join(extras):<11} {text}" for name, extras, text in COMMANDS]
    return "\n".join(
        [
            "usage: hipdet COMMAND [options]      hipdet COMMAND --help shows examples",
            "",
            "ROI detection in radiographs: from films to crops, from labels to a trained detector.",
            "",
            f"  {'command':<15} {'needs':<11}",
            *lines,
            "",
            "needs: the extra to install, for instance pip install 'hipdet[data]'.  hipdet --version prints the version.",
        ]
    )


def require(extras: Sequence[str], name: str) -> None:
    """End the program with exit status 2 where `extras`, which the command `name` needs, aren't installed; else set it up."""
    missing = [module for extra in extras for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        _end(f"hipdet {name} needs {', '.join(missing)}: pip install 'hipdet[{','.join(extras)}]'")
    if "mm" in extras:
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


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows examples as they are written, and defaults that are numbers, names or paths unless a help text says them."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        plain = isinstance(action.default, (int, float, str, Path)) and not isinstance(action.default, bool)
        said = "default:" in (action.help or "") or action.default == argparse.SUPPRESS
        return super()._get_help_string(action) if plain and not said else action.help


def command_parser(name: str, description: str | None, examples: str) -> argparse.ArgumentParser:
    """The parser of ``hipdet NAME``, whose help shows `examples` as they are written."""
    return argparse.ArgumentParser(
        prog=f"hipdet {name}", description=description, epilog=examples, formatter_class=HelpFormatter
    )


def whole_number(low: int, expected: str = "", high: float = math.inf) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`; errors say that `expected` was."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {expected or f'a whole number, at least {low}'}")
        return int(text)

    return number


def number_or_any(text: str) -> int:
    """An argument type: a whole number from 1, or 0 for ``any``."""
    return 0 if text == "any" else whole_number(1, "a number from 1 up, or any")(text)


def add_unfinished(parser: argparse._ActionsContainer) -> None:
    """Add ``--with-unfinished`` to a parser or to a group of its arguments."""
    parser.add_argument(
        "--with-unfinished", action="store_true",
        help="take films that hipdet annotate has as incomplete or unchecked too; they are left out otherwise",
    )  # fmt: skip

"""``hipdet COMMAND``: the table of commands, the extras that each needs, and shared errors, parsers and argument types."""

from __future__ import annotations

import argparse
import functools
import io
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hipdet.core.errors import HipdetError, StorageError, one_line
from hipdet.core.files import name_of
from hipdet.core.telemetry import switch_off
from hipdet.core.versions import check_versions, version_report
from hipdet.version import __version__

if "__mp_main__" in sys.modules:  # a process spawned by a training: it imports this file again, then mmdet
    import_module("hipdet.mmcv_lite").install()

USER_ERROR = 2
SYSTEM_ERROR = 3  # disk full, read-only, no permission, too little memory
INTERRUPTED = 130  # the status that shells use
MOST_WORKERS = 1024  # processes; so many more than a machine has cores would fill it
LONGEST_MESSAGE = 5000  # characters
_WRONG_PATH = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)


def reports_errors(main: Callable[..., None]) -> Callable[..., None]:
    """Print errors of `main` that its user can fix to stderr, in a line without traceback, and exit.

    The status is 3 if the system refuses to store or to read something, and 2 for every other :class:`HipdetError` and for
    paths that don't exist.  Other errors are bugs and keep their traceback.
    """

    @functools.wraps(main)
    def wrapper(*argv: Sequence[str]) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # see __main__.py
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal that can't show a letter gets its escape
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                main(*argv)
            finally:
                sys.stdout.flush()  # here, where an error is reported, and not at Python's exit
        except (HipdetError, MemoryError) as error:
            _end(_cause(error), SYSTEM_ERROR if isinstance(error, (StorageError, MemoryError)) else USER_ERROR)
        except KeyboardInterrupt:
            _end("interrupted: finished files are kept, and unfinished ones weren't written", INTERRUPTED)
        except OSError as error:
            with suppress(OSError, ValueError):  # what is left in the buffer has nowhere to go
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):  # the reader of our output, such as head, has closed it
                sys.exit(0)
            place = "standard output" if error.filename is None else name_of(os.fsdecode(error.filename))
            text = _cause(error) if error.strerror is None else f"{place}: {error.strerror}"
            _end(text, USER_ERROR if isinstance(error, _WRONG_PATH) else SYSTEM_ERROR)

    return wrapper


def _open_closed_streams() -> None:
    """Open standard streams that are closed, as by ``>&-``: the next file would get their number, and what is printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _cause(error: Exception) -> str:
    """The message, without the traceback of a data loader's worker that torch may have wrapped it in."""
    text = str(error) or "too little memory: close other programs, or give smaller films"
    marker = f"{type(error).__name__}: "
    return text.rpartition(marker)[2].strip() if "Original Traceback" in text else text


class Command(NamedTuple):
    """A command: its name, which is that of its module in ``hipdet.cli``, the extras it needs, and a help text."""

    name: str
    extras: tuple[str, ...]
    help: str


COMMANDS = (
    Command("predict", (), "find the ROIs on films"),
    Command("crop", (), "crop the ROIs from their films, for a second stage"),
    Command("merge", (), "make one folder of the results of shards"),
    Command("dicom-node", ("dicom",), "take films by DICOM, send reports to a PACS"),
    Command("annotate", ("annotate",), "label films in the browser"),
    Command("agree", ("data",), "measure how well two annotators agree"),
    Command("accept", ("plot",), "try a model on films of your own, with a page"),
    Command("fit", ("mm", "export"), "films and labels to a detector, with a report"),
    Command("convert", ("data",), "convert films and label files of any tool to COCO"),
    Command("validate", ("data",), "find every fault in annotations and films"),
    Command("split", ("data",), "split annotations by patient"),
    Command("anchors", ("anchors",), "design anchors for the annotations"),
    Command("browse", ("data",), "draw films with their labels, or as training gets them"),
    Command("train", ("mm",), "train a detector"),
    Command("test", ("mm",), "test a detector: COCO mAP and ROI metrics"),
    Command("cross-validate", ("mm",), "train and test on folds, and compare variants"),
    Command("gallery", (), "draw detections beside labels, worst first"),
    Command("plot", ("plot",), "plot IoU, calibration of the score, or learning curves"),
    Command("export", ("mm", "export"), "write a checkpoint as one ONNX file"),
    Command("publish", ("mm", "publish"), "reduce a checkpoint to files to publish"),
    Command("experiments", ("mm",), "run the paper's experiments and write its tables"),
    Command("phantoms", ("phantoms",), "make synthetic films with known ROIs"),
)

# the import names that show whether an extra is installed
EXTRAS = {
    "data": ("scipy", "pycocotools"),
    "plot": ("scipy", "pycocotools", "matplotlib"),
    "annotate": ("werkzeug", "scipy", "pycocotools"),
    "phantoms": ("cv2",),
    "anchors": ("torch", "mmengine", "scipy", "pycocotools", "matplotlib"),
    "export": ("onnx", "onnxscript"),
    "publish": ("safetensors",),
    "dicom": ("pydicom", "highdicom", "pynetdicom"),
    "ray": ("ray", "pyarrow"),
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
        print(version_report(__version__))
        return
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [command.name for command in COMMANDS], 1)
        _end(f"no command {name!r}" + (f", did you mean {near[0]!r}?" if near else "") + " (hipdet --help lists them)")
    switch_off()
    require(command.extras, name)
    import_module(f"hipdet.cli.{name.replace('-', '_')}").main(rest)


def overview() -> str:
    """What ``hipdet --help`` prints."""
    lines = [f"  {name:<15} {','.join(extras):<11} {text}" for name, extras, text in COMMANDS]
    return "\n".join(
        [
            "usage: hipdet COMMAND [options]",
            "",
            "Detect regions of interest (ROIs) in radiographs: from films to crops, from labels to a trained detector.",
            "",
            f"  {'command':<15} {'needs':<11}",
            *lines,
            "",
            "needs: the extra to install, such as pip install 'hipdet[data]', or '.[data]' in a clone.",
            "hipdet COMMAND --help shows options and examples, hipdet --version versions.",
            "Exit status: 0 done; 1 as a command's help says; 2 wrong command, path or input; 3 disk full, read-only folder,",
            "no permission or too little memory; 130 interrupted.",
        ]
    )


def require(extras: Sequence[str], name: str) -> None:
    """Exit with status 2 if `extras`, which the command `name` needs, aren't installed; set mmdet up if one is ``mm``."""
    missing = [module for extra in extras for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        extra = f"[{','.join(extras)}]"
        _end(f"hipdet {name} needs {', '.join(missing)}: pip install 'hipdet{extra}', or '.{extra}' in a clone")
    if "mm" in extras:
        try:
            check_versions()
        except ImportError as error:
            _end(str(error))
        # read when torch makes its first tensor: large tensors on large pages (docs/results/speed.md, "Training")
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        import_module("hipdet.plugin")


def hipdet_predict() -> None:
    """Run the old command ``hipdet-predict``, which the next version removes."""
    _under_old_name("predict")


def hipdet_crop() -> None:
    """Run the old command ``hipdet-crop``, which the next version removes."""
    _under_old_name("crop")


def _under_old_name(name: str) -> None:
    print(f"hipdet-{name} will be removed in the next version: use hipdet {name}", file=sys.stderr)
    main([name, *sys.argv[1:]])


def printable(text: str) -> str:
    """`text` for a terminal: control characters but line ends are escaped, and what is too long is cut."""
    text = "\n".join(map(one_line, text.split("\n")))
    cut = f" ... ({len(text)} characters)" if len(text) > LONGEST_MESSAGE else ""
    return text[:LONGEST_MESSAGE] + cut


def _end(text: str, status: int = USER_ERROR) -> NoReturn:
    start = "" if status == INTERRUPTED else "error: "
    print(f"{start}{printable(text)}", file=sys.stderr)
    sys.exit(status)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and adds defaults that are numbers, names or paths unless the help has them."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        plain = isinstance(action.default, (int, float, str, Path)) and not isinstance(action.default, bool)
        said = "default:" in (action.help or "") or action.default == argparse.SUPPRESS
        return super()._get_help_string(action) if plain and not said else action.help


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.register("type", Path, _path)

    def print_help(self, file: Any = None) -> None:
        """As in argparse, which says nothing where the help can't be written."""
        (file or sys.stdout).write(self.format_help())


def _path(text: str) -> Path:
    if not text:  # Path("") is the working directory, which an unset variable of a script isn't meant to be
        raise argparse.ArgumentTypeError("an empty path")
    return Path(text)


def command_parser(name: str, description: str | None, examples: str) -> argparse.ArgumentParser:
    """The parser of ``hipdet NAME``, whose help ends with `examples`, line by line."""
    return _Parser(prog=f"hipdet {name}", description=description, epilog=examples, formatter_class=HelpFormatter)


def whole_number(low: int, expected: str = "", high: float = math.inf) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`; error messages describe it by `expected`."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            span = f", at least {low}" if high == math.inf else f" from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r}: expected {expected or f'a whole number{span}'}")
        return int(text)

    return number


def utf8(text: str) -> str:
    """An argument type: a text that is written to files, and no path, as UTF-8 whatever the locale."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def class_name(text: str) -> str:
    """An argument type: the name of a class, as :func:`utf8`."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: expected the name of a class")
    return utf8(text)


def number_or_any(text: str) -> int:
    """An argument type: a whole number from 1, or 0 for ``any``."""
    return 0 if text == "any" else whole_number(1, "a number from 1 up, or any")(text)


def folds(text: str) -> int | Path:
    """An argument type: a number of folds, or the table of given folds."""
    return int(text) if text.isdecimal() else Path(text)


def add_unfinished(parser: argparse._ActionsContainer) -> None:
    """Add ``--with-unfinished`` to a parser or to a group of its arguments."""
    parser.add_argument(
        "--with-unfinished", action="store_true",
        help="also take films that are incomplete or unchecked in hipdet annotate (default: leave them out)",
    )  # fmt: skip

"""What commands share: their parser, and types of arguments that say what they expect."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path


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

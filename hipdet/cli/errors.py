"""Errors on the command line: what happened and how to mend it, without a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from hipdet.errors import HipdetError

USER_ERROR = 2


def reports_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Print a :class:`HipdetError` of `main` to stderr and exit with 2; other errors keep their traceback."""

    @functools.wraps(main)
    def wrapper() -> None:
        try:
            main()
        except HipdetError as error:
            print(f"error: {cause(error)}", file=sys.stderr)
            sys.exit(USER_ERROR)

    return wrapper


def cause(error: HipdetError) -> str:
    """The message, also where torch wrapped it in the traceback of a data loader's worker."""
    text = str(error)
    marker = f"{type(error).__name__}: "
    return text.rpartition(marker)[2].strip() if "Original Traceback" in text else text

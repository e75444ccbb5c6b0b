"""Errors on the command line: what happened and how to mend it, without a traceback."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence

from hipdet.core.errors import HipdetError

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

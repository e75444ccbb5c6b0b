"""No word from pydicom while it reads: its warnings and log lines quote tags, which can name the patient."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg")
_lock = threading.Lock()
_readers = 0
_undo = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and pydicom's loggers; filters and levels are global, so the last of several threads undoes it."""
    global _readers
    with _lock:
        if _readers == 0:
            _undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for logger in map(logging.getLogger, _LOGGERS):
                _undo.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _undo.close()

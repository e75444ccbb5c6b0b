"""The command ``hipdet``, also as ``python -m hipdet``."""

import signal

if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules are imported: end without a traceback

from hipdet.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

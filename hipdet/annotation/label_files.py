"""``<annotator>.json`` and ``<annotator>.exclude.csv``, written behind the changes by a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hipdet.annotation.coco_file import Entry, coco_of, exclusion_table
from hipdet.annotation.project import Project
from hipdet.errors import HipdetError
from hipdet.files import write_csv, write_json

REST = 5.0  # times the time of writing that is waited before the next: thousands of films take half a second
LONGEST_REST = 5.0  # s
RETRY = 3.0  # s, after an error


class LabelFiles:
    """Writes what `entries` returns soon after each call of :meth:`changed`; many changes make one writing."""

    def __init__(
        self, folder: Path, project: Project, patients: Mapping[str, str], entries: Callable[[], Mapping[str, Entry]]
    ) -> None:
        self.coco = folder / f"{project.annotator}.json"
        self.exclusions = folder / f"{project.annotator}.exclude.csv"
        self.fault: str | None = None
        self._project, self._patients, self._entries = project, patients, entries
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="label files", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """There is something to write."""
        self._changed.set()

    def close(self) -> None:
        """Write what there is and end the thread."""
        self._closing.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            self._changed.clear()
            start = time.monotonic()
            self._write()
            if self.fault:
                self._changed.set()
                self._closing.wait(RETRY)
            else:
                self._closing.wait(min(REST * (time.monotonic() - start), LONGEST_REST))
        if self._changed.is_set():
            self._write()

    def _write(self) -> None:
        entries = self._entries()
        try:
            write_json(self.coco, coco_of(entries, self._patients, self._project))
            write_csv(self.exclusions, exclusion_table(entries))
            self.fault = None
        except (OSError, HipdetError) as error:  # the journal has it all: it is written once this is mended
            reason = error.strerror if isinstance(error, OSError) else error
            self.fault = f"{self.coco.name} is not up to date: {reason}; the journal is"

"""Timing of contestants in turns, and the tables of a benchmark, stored by section as JSON and Markdown."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hipdet.core.files import write_json, write_text
from hipdet.core.records import read_json
from hipdet.core.versions import installed

PACKAGES = ("torch", "mmdet", "mmengine", "onnxruntime", "openvino", "opencv-python", "pillow", "numpy")
WARM = 2  # turns to warm up, which aren't timed


@dataclass(frozen=True)
class Spread:
    """Median, and the limits of the middle 90%."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Spread:
        """The spread of ``[N]`` values."""
        return cls(*(float(each) for each in np.quantile(values, [0.5, 0.05, 0.95])))

    def text(self, factor: float = 1.0, digits: int = 1) -> str:
        """Such as ``3.2 (3.1 .. 3.5)``."""
        median, low, high = (f"{each * factor:.{digits}f}" for each in (self.median, self.low, self.high))
        return f"{median} ({low} .. {high})"


_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print what is done next, after the time since the start: a section takes from minutes to hours."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED), 60)
    print(f"{minutes:4d}:{seconds:02d} {text}", file=sys.stderr, flush=True)


def in_turns(
    contestants: Mapping[str, Callable[[], object]], turns: int, title: str = "measuring"
) -> dict[str, NDArray[np.float64]]:
    """Seconds ``[turns]`` of each contestant; each runs once per turn, so other load on the machine affects all alike."""
    say(f"{title}: {WARM + turns} turns of {', '.join(contestants)}")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    with tqdm(total=(WARM + turns) * len(contestants), desc=title, unit="run", disable=None) as bar:
        for turn in range(WARM + turns):
            for name, run in contestants.items():
                bar.set_postfix_str(name)
                start = time.perf_counter()
                run()
                if turn >= WARM:
                    seconds[name].append(time.perf_counter() - start)
                bar.update()
    return {name: np.array(values) for name, values in seconds.items()}


def against(seconds: Mapping[str, NDArray[np.float64]], names: Sequence[str], base: str) -> dict[str, Spread]:
    """How many times as fast as `base` each contestant is: the ratios turn by turn."""
    return {name: Spread.of(seconds[base] / seconds[name]) for name in names}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: What is compared.
        note: What a reader must know: units, what is left out.
        columns: Names of the columns.
        rows: Cells as text.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"| {' | '.join(line)} |" for line in (self.columns, ["---"] * len(self.columns), *self.rows)]
        return "\n".join([f"### {self.title}", "", self.note, "", *lines, ""])


def facts(threads: int) -> dict[str, str]:
    """The machine and the versions of packages."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "threads": str(threads),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **dict(found for name in PACKAGES if (found := installed((name,)))),
    }


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


class Results:
    """``benchmark.json`` and ``benchmark.md`` in a folder, with the sections that have been measured."""

    def __init__(self, folder: Path) -> None:
        self.json, self.markdown = folder / "benchmark.json", folder / "benchmark.md"
        self.sections: dict[str, Any] = read_json(self.json, "results of this benchmark") if self.json.is_file() else {}

    def add(self, section: str, threads: int, tables: Sequence[Table]) -> None:
        """Add or replace a section and write both files."""
        self.sections[section] = {"facts": facts(threads), "tables": [asdict(table) for table in tables]}
        write_json(self.json, self.sections)
        parts = []
        for name, content in self.sections.items():
            about = ", ".join(f"{key} {value}" for key, value in content["facts"].items())
            parts.append(f"## {name}\n\n{about}\n")
            parts += [Table(**table).markdown() for table in content["tables"]]
        write_text(self.markdown, "\n".join(parts))

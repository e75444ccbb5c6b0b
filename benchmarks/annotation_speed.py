#!/usr/bin/env python3
"""Time that the annotation page takes to open and to move between films, in headless Chromium, with thousands of films."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

from selenium.webdriver.common.keys import Keys

from annotation_parts import start_tool
from browser import start_browser
from hipdet.annotate.film_state import Entry, FilmState
from hipdet.cli.main import reports_errors
from hipdet.data.coco_file import Roi
from hipdet.data.match import find_films
from hipdet.radiographs.read import read_header

EXAMPLES = """examples:
  hipdet phantoms films --films oaih=10
  benchmarks/annotation_speed.py films --films 5000              hard links to these ten
"""
SHOWN = """
return document.querySelector("#film").hasAttribute("href") && !document.querySelector("#stage.busy")
    && document.querySelector("#message").hidden && document.querySelector("#name").textContent;
"""


def fill(folder: Path, films: Path, count: int, labelled: bool) -> None:
    """Link the films in `films` into `folder` `count` times, and with `labelled` write a journal with two boxes per film."""
    paths = [each.file.path for each in find_films(films, "films")]
    sizes = [read_header(path).upright for path in paths]
    lines = []
    for number in range(count):
        name = f"{number:05}{paths[number % len(paths)].suffix}"
        os.link(paths[number % len(paths)], folder / name)
        rois = (Roi((10, 10, 60, 60), "hip"), Roi((70, 10, 120, 60), "hip"))
        stat = (folder / name).stat()
        entry = Entry(FilmState(rois, checked=True), 1, sizes[number % len(paths)], (stat.st_size, stat.st_mtime_ns))
        lines.append(json.dumps(entry.record(name)))
    if labelled:
        (folder / "labels").mkdir()
        (folder / "labels/annotator.journal").write_text("\n".join(lines) + "\n", encoding="utf-8")


def wait(browser: Any, other_than: str = "") -> str:
    """Wait until the page shows a film other than `other_than`; returns its name."""
    while True:
        name = browser.execute_script(SHOWN)
        if name and name != other_than:
            return str(name)
        time.sleep(0.002)


def moves(
    browser: Any, press: Callable[[], None], count: int, prepare: Callable[[int], None] | None = None
) -> list[float]:
    """Seconds from a key press until another film is shown, `count` times; `prepare` runs before each key press."""
    times = []
    for number in range(count):
        before = wait(browser)
        if prepare:
            prepare(number)
        start = time.perf_counter()
        press()
        wait(browser, before)
        times.append(time.perf_counter() - start)
        time.sleep(0.5)  # an annotator looks at a film at least that long
    return times


def changes(body: Any, journal: Path, count: int) -> list[float]:
    """Seconds from a key press to its line in the journal, `count` times."""
    times = []
    for _ in range(count):
        size, start = journal.stat().st_size, time.perf_counter()
        body.send_keys("u")
        while journal.stat().st_size == size:
            time.sleep(0.001)
        times.append(time.perf_counter() - start)
        time.sleep(0.2)
    return times


def measure(folder: Path) -> dict[str, float]:
    """Start the annotation tool on `folder`, use it, and return seconds by name."""
    start = time.perf_counter()
    process, address = start_tool(folder)
    metrics = {"the tool starts": time.perf_counter() - start}
    browser = start_browser()
    try:
        browser.get("about:blank")
        start = time.perf_counter()
        browser.get(address)
        wait(browser)
        metrics["the page opens"] = time.perf_counter() - start
        body = browser.find_element("tag name", "body")
        next_film = moves(browser, lambda: body.send_keys("n"), 20)
        names = browser.find_element("id", "filter")
        jump = moves(browser, lambda: names.send_keys(Keys.ENTER), 10, lambda number: _type(body, names, number))
        stored = changes(body, folder / "labels/annotator.journal", 10)
        times = {"a change is stored": stored, "next film": next_film, "any film by its name": jump}
        for title, seconds in times.items():
            metrics |= {f"{title}, median": statistics.median(seconds), f"{title}, longest": max(seconds)}
    finally:
        browser.quit()
        process.terminate()
        process.wait()
    return metrics


def _type(body: Any, names: Any, number: int) -> None:
    body.send_keys("g")
    names.send_keys(f"{137 + 211 * number:05}")


@reports_errors
def main() -> None:
    """Measure with no film labelled, then with all."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of films")
    parser.add_argument("--films", type=int, default=5000, help="number of links to them (default: %(default)s)")
    args = parser.parse_args()
    for labelled in (False, True):
        with tempfile.TemporaryDirectory(dir=args.folder.parent) as folder:
            fill(Path(folder), args.folder, args.films, labelled)
            print(f"{args.films} films, {'all' if labelled else 'none'} labelled")
            for name, seconds in measure(Path(folder)).items():
                print(f"  {name:<32} {seconds:6.3f} s")


if __name__ == "__main__":
    main()

"""Tables of metrics: columns as functions of a row, written as Markdown or CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.core.files import write_csv

Row = dict[str, Any]
Cell = Callable[[Row], str]


def number_cell(key: str, digits: int = 4) -> Cell:
    """A cell with the number `key` to `digits` decimals; empty if there is none."""

    def cell(row: Row) -> str:
        value = row.get(key)
        return "" if value is None else f"{value:.{digits}f}"

    return cell


def text_cell(key: str) -> Cell:
    """A cell with the text of `key`; empty if there is none."""
    return lambda row: str(row.get(key, ""))


def interval_cell(key: str) -> Cell:
    """A cell such as ``0.8115 ± 0.0031 [0.7990, 0.8250]``: mean, s.d. over seeds if there are several, and interval."""

    def cell(row: Row) -> str:
        spread = f" ± {row[f'{key}_sd']:.4f}" if f"{key}_sd" in row else ""
        return f"{row[key]:.4f}{spread} [{row[f'{key}_low']:.4f}, {row[f'{key}_high']:.4f}]"

    return cell


def markdown(columns: Mapping[str, Cell], rows: Sequence[Row]) -> str:
    """A Markdown table of `rows`; `columns` maps titles to cells."""
    lines = [[title.strip() for title in columns], ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write `rows` as CSV with a column for every key that any row has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(path, [keys, *([row.get(key, "") for key in keys] for row in rows)], "\r\n")  # as in earlier files

"""A plan as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.figures import AnchorFigures
from hipdet.anchors.plan import Plan
from hipdet.anchors.spread import RoiSpread

WIDTH = 120
SPREAD = ("data set", "films", "ROIs", "a film", "ratio min / median / max", "height/width", "long side, px")
SETS = ("anchors", "number", "range", "fit", "matched", "IoU", "reach", "positive", "contested")


def plan_text(plan: Plan) -> str:
    """The data, the recommended anchors beside the rejected ones, reasons and warnings."""
    lines = [*_table(SPREAD, [_spread_row(spread) for spread in plan.spreads]), ""]
    rows = [_set_row("* ", plan.anchors, plan.figures)]
    rows += [_set_row("  ", neighbour.anchors, neighbour.figures) for neighbour in plan.neighbours]
    lines += [*_table(SETS, rows), ""]
    lines += [f"Recommended: {plan.anchors}", *_bullets(plan.reasons)]
    if plan.neighbours:
        lines += ["", "Rejected:"]
        lines += _bullets([f"{each.change} ({each.anchors}): {each.why}." for each in plan.neighbours])
    if plan.warnings:
        lines += ["", "Beware:", *_bullets([f"{warning}." for warning in plan.warnings])]
    return "\n".join(lines)


def _bullets(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        yield textwrap.fill(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _spread_row(spread: RoiSpread) -> tuple[str, ...]:
    minimum, _, median, _, maximum = spread.ratio
    usual, most = spread.usual_rois, spread.most_rois
    return (
        f"  {spread.label}" if spread.label else spread.name,
        str(spread.films),
        str(spread.rois),
        f"{usual}" if usual == most else f"{usual}, up to {most}",
        f"{minimum:.3f} / {median:.3f} / {maximum:.3f}",
        f"{spread.aspect[0]:.2f} .. {spread.aspect[-1]:.2f}",
        f"{spread.long_side[0]:.0f} .. {spread.long_side[-1]:.0f}",
    )


def _set_row(mark: str, anchors: AnchorSet, figures: AnchorFigures) -> tuple[str, ...]:
    return (
        mark + str(anchors).rpartition(", ")[0],
        str(figures.anchors),
        f"{figures.smallest:.1%} .. {figures.largest:.1%}",
        f"{figures.fitted:.1%}",
        f"{figures.matched:.0%}",
        f"{figures.best_iou:.3f}",
        f"{figures.reachable_iou:.3f}",
        f"{figures.positives:g}",
        f"{figures.contested:.1%}",
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, the first aligned to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in (header, *rows)
    ]

"""COCO annotation files: written, summarized, split by patient."""

from hipdet.coco.build import build_coco
from hipdet.coco.faults import raise_faults
from hipdet.coco.film import Film, Roi
from hipdet.coco.split import (
    SPLIT_BY,
    grouped_folds,
    near_duplicate_groups,
    split_films,
    split_key,
    validation_part,
)
from hipdet.coco.summary import Spread, Summary, summarize

__all__ = [
    "SPLIT_BY",
    "Film",
    "Roi",
    "Spread",
    "Summary",
    "build_coco",
    "grouped_folds",
    "near_duplicate_groups",
    "raise_faults",
    "split_films",
    "split_key",
    "summarize",
    "validation_part",
]

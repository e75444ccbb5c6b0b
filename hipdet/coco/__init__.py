"""COCO annotation files: written, verified, split by patient."""

from hipdet.coco.build import build_coco
from hipdet.coco.faults import raise_faults
from hipdet.coco.film import Film, Roi
from hipdet.coco.require import require_valid
from hipdet.coco.split import (
    SPLIT_BY,
    grouped_folds,
    near_duplicate_groups,
    split_films,
    split_key,
    validation_part,
)
from hipdet.coco.summary import Spread, Summary, summarize
from hipdet.coco.verify import verify_annotations
from hipdet.coco.verify_films import verify_films

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
    "require_valid",
    "split_films",
    "split_key",
    "summarize",
    "validation_part",
    "verify_annotations",
    "verify_films",
]

"""The same folds for every variant of a recipe: train, test, compare."""

from hipdet.cross_validation.fold import Fold
from hipdet.cross_validation.run import CrossValidation
from hipdet.cross_validation.variant import Variant

__all__ = ["CrossValidation", "Fold", "Variant"]

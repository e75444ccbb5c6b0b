"""Annotation files and films, checked before anything is trained on them."""

from hipdet.validation.fault import Fault
from hipdet.validation.require import require_valid
from hipdet.validation.validate import Expected, validate

__all__ = ["Expected", "Fault", "require_valid", "validate"]

"""Augmentation of radiographs, and their reading into mmdet's pipelines."""

from hipdet.transforms.radiograph_backend import RadiographBackend
from hipdet.transforms.random_gamma import RandomGamma
from hipdet.transforms.random_lighting import RandomLighting
from hipdet.transforms.random_similarity import RandomSimilarity

__all__ = ["RadiographBackend", "RandomGamma", "RandomLighting", "RandomSimilarity"]

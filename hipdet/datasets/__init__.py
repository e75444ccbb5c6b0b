"""The verified data set, and its batches."""

from hipdet.datasets.collate_films import collate_films
from hipdet.datasets.roi_dataset import RoiDataset

__all__ = ["RoiDataset", "collate_films"]

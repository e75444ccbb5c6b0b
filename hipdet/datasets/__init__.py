"""The verified data set."""

from hipdet.datasets.roi_dataset import RoiDataset

__all__ = ["RoiDataset"]

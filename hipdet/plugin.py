"""Registers hipdet's components into mmdet's registries: ``custom_imports=dict(imports=['hipdet.plugin'])``."""

from __future__ import annotations

from hipdet import compat
from hipdet.environment import check_versions

check_versions()
compat.install()
compat.import_torchvision()  # before mmengine's environment report trips over one that doesn't import

from hipdet import datasets, models, training, transforms  # noqa: E402, F401
from hipdet.evaluation import report_hook, roi_coco_metric, roi_metric  # noqa: E402, F401

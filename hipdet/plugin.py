"""Registers hipdet's components with mmdet; configs have ``custom_imports=dict(imports=['hipdet.plugin'])``."""

from __future__ import annotations

from hipdet import mmcv_lite
from hipdet.core.telemetry import switch_off
from hipdet.core.versions import check_versions

check_versions()
switch_off()
mmcv_lite.install()
mmcv_lite.import_torchvision()  # first: mmengine's environment report fails on a broken one

from hipdet.engine import (  # noqa: E402, F401
    checkpoint,
    checkpoint_hooks,
    dataset,
    hard_films,
    hooks,
    loop,
    schedule,
    starting_weights,
    transforms,
)
from hipdet.evaluation import roi_metric  # noqa: E402, F401
from hipdet.models import (  # noqa: E402, F401
    backbones,
    hip_ssd_head,
    mirror_averaging,
    orientation_head,
    refining_detector,
    roi_refiner,
    square_anchor_generator,
)

"""The figures that the paper printed (Tables 2 and 3), to lay ours beside."""

from __future__ import annotations

# experiment -> figure; "acc50" is headed "AP50" there
VALIDATION = {
    1: dict(avg_iou=0.8477, avg_conf=0.6932),
    2: dict(avg_iou=0.8565, avg_conf=0.9075),
    3: dict(avg_iou=0.8571, avg_conf=0.9582),
    4: dict(avg_iou=0.8471, avg_conf=0.9644),
    5: dict(avg_iou=0.8432, avg_conf=0.9403),
    6: dict(avg_iou=0.8267, avg_conf=0.9892),
    7: dict(avg_iou=0.8460, avg_conf=0.9496),
    8: dict(avg_iou=0.8460, avg_conf=0.9496),
    9: dict(avg_iou=0.8664, avg_conf=0.8971),
    10: dict(avg_iou=0.8664, avg_conf=0.8971),
}
TEST = {
    1: dict(avg_iou=0.7912, avg_conf=0.7130, min_iou=0.4042, acc50=0.9851),
    2: dict(avg_iou=0.8105, avg_conf=0.9422, min_iou=0.3829, acc50=0.9901),
    3: dict(avg_iou=0.8115, avg_conf=0.9812, min_iou=0.3861, acc50=0.9901),
    4: dict(avg_iou=0.8011, avg_conf=0.9843, min_iou=0.3809, acc50=0.9950),
    5: dict(avg_iou=0.7749, avg_conf=0.9751, min_iou=0.3680, acc50=0.9901),
    6: dict(avg_iou=0.7918, avg_conf=0.9950, min_iou=0.3732, acc50=0.9950),
    7: dict(avg_iou=0.8307, avg_conf=0.9428, min_iou=0.3622, acc50=0.9945),
    8: dict(avg_iou=0.7951, avg_conf=0.9634, min_iou=0.3652, acc50=0.9851),
    9: dict(avg_iou=0.7633, avg_conf=0.8667, min_iou=0.3075, acc50=0.9846),
    10: dict(avg_iou=0.7813, avg_conf=0.9221, min_iou=0.3449, acc50=0.9901),
}
# Table 3: experiment 3 in detail
DETAIL_OF = 3
DETAIL = {
    "all": dict(
        num_images=7399, num_rois=14798, avg_iou=0.9176, avg_conf=0.9688, min_iou=0.3861, below50=2, acc50=0.9999
    ),
    "train": dict(
        num_images=6568, num_rois=13136, avg_iou=0.9260, avg_conf=0.9698, min_iou=0.5955, below50=0, acc50=1.0
    ),
    "val": dict(num_images=730, num_rois=1460, avg_iou=0.8571, avg_conf=0.9582, min_iou=0.5907, below50=0, acc50=1.0),
    "test": dict(
        num_images=101, num_rois=202, avg_iou=0.8115, avg_conf=0.9812, min_iou=0.3861, below50=2, acc50=0.9901
    ),
}

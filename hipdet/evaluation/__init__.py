"""ROI figures: matching, summary, and the registered metric."""

from hipdet.evaluation.report_hook import ReportHook
from hipdet.evaluation.roi_metric import RoiMetric

__all__ = ["ReportHook", "RoiMetric"]

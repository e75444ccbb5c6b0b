# Experiment 6 of the paper: grid 14, 31 scales 0.7 .. 2.2 by 0.05, 6076 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

from hipdet.paper.facts import settings

globals().update(settings(6, _base_))

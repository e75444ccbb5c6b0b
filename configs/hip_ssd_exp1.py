# Experiment 1 of the paper: grid 4,2,1, 3 scales 0.7 1.0 1.3, 63 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

from hipdet.paper.facts import settings

globals().update(settings(1, _base_))

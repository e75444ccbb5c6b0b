# Experiment 3 of the paper: grid 7, 6 scales 0.7 1.0 1.3 1.6 1.9 2.2, 294 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

from hipdet.paper.facts import settings

globals().update(settings(3, _base_))

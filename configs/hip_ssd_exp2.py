# Experiment 2 of the paper: grid 7, 3 scales 0.7 1.45 2.2, 147 anchors; CGOA+OAIH -> GIS.
_base_ = ["_base_/hip_ssd_r101.py", "_base_/hips.py", "_base_/staged_one_cycle.py", "_base_/runtime.py"]

from hipdet.paper.facts import settings

globals().update(settings(2, _base_))

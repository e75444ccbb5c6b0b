# Experiment 3 of the paper: one 7x7 map, six scales, trained on CGOA+OAIH, tested on GIS.
_base_ = ['_base_/hip_ssd_r101.py', '_base_/hips.py', '_base_/staged_one_cycle.py', '_base_/runtime.py']

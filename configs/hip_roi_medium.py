# Recommended: few films, a CPU, 10 minutes.
_base_ = ['_base_/hip_roi.py']

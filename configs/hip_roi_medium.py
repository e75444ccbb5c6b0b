# Recommended: few films, from scratch, six minutes on one CPU core for 80 films.
_base_ = ["_base_/hip_roi.py"]

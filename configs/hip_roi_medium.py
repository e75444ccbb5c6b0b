# Recommended: few films, from scratch, a quarter of an hour on one CPU core for 80 films.
_base_ = ['_base_/hip_roi.py']

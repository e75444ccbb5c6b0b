# Recommended: few films, from scratch, 20 minutes on two CPU cores for 80 films.
_base_ = ['_base_/hip_roi.py']

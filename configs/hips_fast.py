# The faster bundled model: the weights of configs/hips.py, but each ROI is refined once, so its size and place are less exact.
_base_ = ["hips.py"]

model = dict(passes=(6,))

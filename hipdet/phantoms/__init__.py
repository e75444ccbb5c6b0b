"""Synthetic films with exactly known ROIs: pelves in the manner of the paper's three sources, and chests.

Pure numpy and OpenCV.  A film is settled in three steps: a plan (who, how posed, where on the film, which labels), maps of
optical depth (what the rays meet), and the exposure with its marks (what the film shows).
"""

"""Synthetic films with exactly known ROIs: pelves in the manner of the paper's three sources, odd ones, and chests.

Pure numpy and OpenCV.  A film is made in three steps: a plan (patient, pose, position on the film, labels), maps of optical
depth (how much each ray is attenuated), and the exposure (grey values, letters, captions).
"""

"""Reads radiographs upright and in 8 bits for ``LoadImageFromFile``."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio.backends import LocalBackend, register_backend

from hipdet.radiograph import read_radiograph


@register_backend("radiograph")
class RadiographBackend(LocalBackend):
    """A file backend whose pictures are :func:`hipdet.radiograph.read_radiograph`'s.

    ``DetInferencer`` looks for a step named exactly ``LoadImageFromFile``, so the reading is exchanged below it:
    ``dict(type='LoadImageFromFile', backend_args=dict(backend='radiograph'))``.
    """

    def get(self, filepath: str | Path) -> bytes:
        """The film as a binary portable grey map, which any decoder reads without loss.

        Raises:
            RadiographError: a film that is missing, damaged or not a picture.
        """
        pixels = read_radiograph(filepath)
        height, width = pixels.shape
        return f"P5 {width} {height} 255\n".encode() + pixels.tobytes()

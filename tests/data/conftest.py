import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_film():
    """Write a film of `width` x `height` upright pixels, stored rotated if `orientation` is 5 to 8."""

    def make(path, width=100, height=80, orientation=1):
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        shape = (width, height) if orientation >= 5 else (height, width)
        Image.fromarray(np.zeros(shape, np.uint8)).save(path, exif=exif)

    return make

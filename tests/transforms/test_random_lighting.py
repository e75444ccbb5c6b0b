import numpy as np
import pytest

from hipdet.engine.transforms import RandomLighting, lighting

PIXELS = np.array([50, 100, 150, 200], np.uint8).reshape(2, 2, 1)  # mean 125


@pytest.mark.parametrize(
    ("b", "c", "expected"),
    [
        (0, 0, [50, 100, 150, 200]),
        (0, 0.5, [12.5, 87.5, 162.5, 237.5]),  # 125 + 1.5 * (x - 125)
        (0, -0.25, [65, 105, 145, 185]),  # factor 1 / 1.25 = 0.8
        (0.2, 0, [101, 151, 201, 251]),  # + 51
        (0.5, 0, [177.5, 227.5, 255, 255]),  # clipped
        (-0.5, 0.5, [0, 0, 35, 110]),
    ],
)
def test_formula_of_the_recipe(b, c, expected):
    found = lighting(PIXELS, b, c)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)
    assert found.dtype == np.float32


def test_extremes_of_the_papers_setting():
    np.random.seed(0)
    flat = np.full((2, 2, 3), 128, np.uint8)  # contrast does nothing to a flat picture
    means = [RandomLighting(balance=0.5, contrast=0.5)(dict(img=flat))["img"].mean() for _ in range(500)]
    # 128 - 127.5 and 128 + 127.5, clipped at 255
    assert 0.5 <= min(means) < 5
    assert 250 < max(means) <= 255


def test_lighting_leaves_its_input_alone():
    img = np.full((2, 2, 1), 100, np.float32)
    lighting(img, 0.2, 0.0)
    assert (img == 100).all()

import numpy as np
import pytest

from hipdet.core.errors import ConfigError
from hipdet.engine.transforms import RandomGamma


def test_gamma():
    transform = RandomGamma(limit=1.8)
    np.random.seed(0)
    found = np.array([transform(dict(img=np.full((1, 1, 1), 64, np.uint8)))["img"].item() for _ in range(500)])
    # 255 * (64 / 255) ** g for g = 1.8 and 1 / 1.8
    assert 21.1 <= found.min() < 22.5
    assert 116 < found.max() <= 118.3
    assert transform(dict(img=np.array([0, 255], np.uint8)))["img"].tolist() == [0, 255]
    with pytest.raises(ConfigError, match="limit"):
        RandomGamma(limit=0.5)


def test_gamma_of_whole_greys_is_that_of_the_same_in_float32():
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    found = []
    for img in (greys, greys.astype(np.float32)):
        np.random.seed(3)
        found.append(RandomGamma(limit=1.8)(dict(img=img))["img"])
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_array_equal(found[0], found[1])

import numpy as np
import pytest
from PIL import Image

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.visualization.plots import write_anchor_figure
from roi_sets import rois_of, squares

YELLOW, RED = (255, 212, 0), (255, 32, 32)


def colours(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size, np.array([colour for _, colour in picture.convert("RGB").getcolors(1 << 22)])


def near(colour, found):
    """Lines are smoothed: the colour is there but for a few shades."""
    return np.abs(found - np.array(colour)).max(axis=1).min() < 30


@pytest.mark.parametrize("anchors", [AnchorSet((7,), (1.0, 1.5)), AnchorSet((14, 7), (1.0,), (1.0, 2.0))], ids=str)
def test_rois_and_anchors_over_a_film(tmp_path, anchors):
    film = np.full((80, 100), 90, dtype=np.uint8)
    sets = {"a": squares(np.linspace(0.1, 0.3, 50)), "b": squares(np.linspace(0.2, 0.3, 50))}
    write_anchor_figure(tmp_path / "new/anchors.png", sets, anchors, film, np.array([[0.1, 0.2, 0.3, 0.4]]))
    size, found = colours(tmp_path / "new/anchors.png")
    assert size == (1500, 500)
    assert all(near(colour, found) for colour in (YELLOW, RED, (90, 90, 90)))


def test_without_a_film(tmp_path):
    """Also where all sizes are one, and a histogram has no width."""
    write_anchor_figure(tmp_path / "anchors.png", {"a": squares([0.2] * 5)}, AnchorSet((7,), (1.4,)))
    found = colours(tmp_path / "anchors.png")[1]
    assert near(RED, found)
    assert not near(YELLOW, found)
    write_anchor_figure(tmp_path / "one.png", {"a": rois_of([[0.1, 0.1, 0.2, 0.2]])}, AnchorSet((1,), (0.1,)))
    assert (tmp_path / "one.png").exists()


def test_the_same_twice(tmp_path):
    for name in "ab":
        write_anchor_figure(tmp_path / f"{name}.png", {"a": squares([0.2, 0.3])}, AnchorSet((7,), (1.4,)))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

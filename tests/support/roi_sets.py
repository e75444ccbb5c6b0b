"""ROIs for tests of anchors."""

import numpy as np
from hypothesis import strategies as st

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.rois import Rois


def rois_of(boxes, films=None, labels=None, classes=("hip",)):
    """ROIs from boxes xyxy in units of the film; each has its own film unless `films` is given."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    films = np.arange(len(boxes)) if films is None else np.asarray(films)
    labels = np.zeros(len(boxes), dtype=np.int64) if labels is None else np.asarray(labels)
    return Rois(boxes, films, labels, np.full(int(films.max(initial=-1)) + 1, 500.0), tuple(classes))


def placed(width, height, rng, **options):
    """ROIs of these sizes at random positions."""
    sides = np.stack([width, height], axis=1)
    corner = rng.uniform(0, 1, sides.shape) * (1 - sides)
    return rois_of(np.concatenate([corner, corner + sides], axis=1), **options)


def squares(sizes, seed=0, **options):
    """Squares at random positions."""
    sizes = np.asarray(sizes, dtype=np.float64)
    return placed(sizes, sizes, np.random.default_rng(seed), **options)


def build_label_coco(rois, side=500):
    """A COCO dictionary of `rois` on square films of `side` px."""
    return dict(
        images=[
            dict(id=i + 1, file_name=f"{i}.png", width=side, height=side, patient=f"p{i}")
            for i in range(len(rois.long_sides))
        ],
        annotations=[
            dict(id=i + 1, image_id=film + 1, category_id=label + 1, bbox=[x0, y0, x1 - x0, y1 - y0], iscrowd=0,
                 area=(x1 - x0) * (y1 - y0))
            for i, (film, label, (x0, y0, x1, y1)) in enumerate(
                zip(rois.films.tolist(), rois.labels.tolist(), (rois.boxes * side).tolist())
            )
        ],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(rois.classes)],
    )  # fmt: skip


sides = st.floats(0.02, 0.9)
anchor_sets = st.builds(
    lambda grids, scales, aspects: AnchorSet(tuple(sorted(grids, reverse=True)), tuple(sorted(scales)), tuple(aspects)),
    st.sets(st.sampled_from([1, 2, 4, 7, 14]), min_size=1, max_size=2),
    st.sets(st.floats(0.2, 3.0), min_size=1, max_size=4),
    st.sets(st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=2).map(sorted),
)


@st.composite
def roi_sets(draw, most=6):
    """A few boxes at random positions."""
    count = draw(st.integers(1, most))
    boxes = []
    for _ in range(count):
        w, h = draw(sides), draw(sides)
        x, y = draw(st.floats(0, 1 - w)), draw(st.floats(0, 1 - h))
        boxes.append([x, y, x + w, y + h])
    return rois_of(boxes)

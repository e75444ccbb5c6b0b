"""What the validator passes, mmdet and pycocotools take whole: nothing is dropped, nothing is changed."""

import copy
import json
import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hipdet.data.validate.check import Expected, validate
from sound_coco import SOUND

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 500), st.floats(-500, 500), st.sampled_from(["", "1", "hip", "Hip", "a/2.jpg"]),
    st.just(10**30), st.just(math.nan), st.just(math.inf), st.lists(st.integers(-5, 400), max_size=5), st.just({}),
)  # fmt: skip


def places(value, path=()):
    """Every place of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in entries:
        yield (*path, key)
        yield from places(child, (*path, key))


def spoiled(changes):
    content = copy.deepcopy(SOUND)
    for place, value in changes:
        parent = content
        try:
            for key in place[:-1]:
                parent = parent[key]
            if value is ...:
                del parent[place[-1]]
            else:
                parent[place[-1]] = copy.deepcopy(value)  # an example's {} must not be filled by the next change
        except (KeyError, IndexError, TypeError):  # what an earlier change has taken away
            continue
    return content


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(sorted(places(SOUND), key=str)), st.one_of(VALUES, st.just(...))), max_size=3
    )
)
# 10**30 + 50 - 10**30 is 0 in floating point: CocoDataset took the box for one beside the film
@example(changes=[(("images", 0, "width"), 10**30), (("annotations", 0, "bbox", 0), 10**30)])
@example(changes=[(("images", 0, "width"), 1e30), (("annotations", 0, "bbox", 0), 1e30)])
@example(changes=[(("annotations", place, "area"), 10**30) for place in range(4)])  # COCOeval's ranges end at 1e10
def test_without_errors_nothing_is_dropped(changes, tmp_path_factory):
    content = spoiled(changes)
    path = tmp_path_factory.mktemp("v") / "hips.json"
    path.write_text(json.dumps(content))
    _, faults = validate(path, expected=Expected(("hip",)))
    if any(not fault.warning for fault in faults):
        return
    options = dict(data_prefix={"img": ""}, test_mode=True, serialize_data=False)
    dataset = CocoDataset(ann_file=str(path), metainfo={"classes": ("hip",)}, **options)
    loaded = {info["img_id"]: info for info in dataset.data_list}
    assert set(loaded) == {image["id"] for image in content["images"]}
    for image in content["images"]:
        expected = [
            np.add(annotation["bbox"], [0, 0, *annotation["bbox"][:2]]).tolist()
            for annotation in content["annotations"]
            if annotation["image_id"] == image["id"] and not annotation.get("ignore")
        ]
        np.testing.assert_allclose([each["bbox"] for each in loaded[image["id"]]["instances"]], expected)
        assert {each["bbox_label"] for each in loaded[image["id"]]["instances"]} <= {0}
    coco = COCO(str(path))
    assert len(coco.getAnnIds()) == len(content["annotations"])
    if any(not annotation["iscrowd"] for annotation in content["annotations"]):
        assert perfect_ap(coco, content) > 1 - 1e-9


def perfect_ap(coco, content):
    """COCO mAP of the labels as detections."""
    keys = ("image_id", "category_id", "bbox")
    found = [{**{key: each[key] for key in keys}, "score": 1.0} for each in content["annotations"]]
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


KEYS = st.sampled_from(["images", "annotations", "categories", "id", "bbox", "name"])


@settings(max_examples=200, deadline=None)
@given(
    content=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(KEYS, inner, max_size=4),
        ),
        max_leaves=20,
    )
)
def test_anything_gives_faults_and_no_exception(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "any.json"
    path.write_text(json.dumps(content))
    assert validate(path, expected=Expected(("hip",)))[1]

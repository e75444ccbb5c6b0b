import hashlib
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmcv.transforms import Resize
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from film_sources import film, write
from hipdet.core.configs import read_config
from hipdet.core.stored_files import StoredFile
from hipdet.data import copies as module
from hipdet.data.candidates import Candidate
from hipdet.data.coco_file import Film, Roi, build_coco
from hipdet.data.copies import (
    LEAST_CORRELATION,
    Copies,
    NearDuplicate,
    brightness_steps,
    copy_films,
    difference_hash,
    film_digest,
    groups,
    near_duplicates,
)
from hipdet.models.proposals import film_shape
from hipdet.radiographs.read import read_radiograph


def pair(root, name="a.jpg", size=(300, 200), box=(30, 40, 90, 100), orientation=None, short="a"):
    stored = size[::-1] if orientation else size
    path = write(root / name, film(*stored, "JPEG", orientation, 3))
    return Film(name, *size, "s", "P", (Roi(box, "hip", "left"),)), Candidate(StoredFile(name, path), "P", short)


def test_upright_copies_are_the_films(tmp_path):
    ((copy, _),), faults = copy_films([pair(tmp_path, orientation=6)], Copies(tmp_path, workers=1))
    assert faults == []
    assert (copy.file_name, copy.width, copy.height) == ("s_upright/a.png", 300, 200)
    assert copy.extra == {"original": "a.jpg"}
    np.testing.assert_array_equal(read_radiograph(tmp_path / copy.file_name), read_radiograph(tmp_path / "a.jpg"))
    assert np.asarray(Image.open(tmp_path / copy.file_name)).shape == (200, 300)


def test_compact_copies_are_what_the_pipeline_makes(tmp_path):
    """The copies equal mmdet's Resize with area interpolation; padding is left to the pipeline."""
    ((copy, _),), _ = copy_films([pair(tmp_path)], Copies(tmp_path, 112, 1))
    pixels = read_radiograph(tmp_path / copy.file_name)
    assert pixels.shape == (75, 112) == (copy.height, copy.width)  # 200 x 112 / 300 = 74.7
    grey = read_radiograph(tmp_path / "a.jpg")
    resized = Resize((112, 112), keep_ratio=True, interpolation="area")({"img": grey})["img"]
    np.testing.assert_allclose(pixels.astype(int), resized, atol=1)
    assert copy.rois[0].box == pytest.approx((11.2, 15, 33.6, 37.5))
    assert copy.rois[0].picture_side == "left"
    assert (copy.extra["original_width"], copy.extra["original_height"]) == (300, 200)


def test_spacing_of_copies(tmp_path):
    """A copy of 112x75 px is as many mm wide and high as its film of 300x200 px."""
    film, candidate = pair(tmp_path)
    film = replace(film, extra=dict(spacing_mm=[0.2, 0.3], spacing_plane="detector"))
    for side, expected in ((112, [60 / 112, 60 / 75]), (1024, [0.2, 0.3]), (None, [0.2, 0.3])):
        ((copy, _),), _ = copy_films([(film, candidate)], Copies(tmp_path, side, 1))
        assert copy.extra["spacing_mm"] == pytest.approx(expected, abs=1e-6)
        assert copy.extra["spacing_plane"] == "detector"


def test_small_films_are_not_enlarged(tmp_path):
    ((copy, _),), _ = copy_films([pair(tmp_path)], Copies(tmp_path, 1024, 1))
    assert (copy.width, copy.height, copy.rois[0].box) == (300, 200, (30, 40, 90, 100))


@pytest.mark.parametrize("size", [(300, 200), (200, 300)])
def test_inverted_copies_are_inverted_films(tmp_path, size):
    """In hip_roi_*, Invert comes before Pad, and inference always pads with black."""
    every = read_config("configs/hip_roi_medium.py").train_dataloader.dataset.pipeline
    kinds = [step["type"] for step in every]
    pipeline = [*every[: kinds.index("Pad") + 1], dict(type="PackDetInputs")]
    pipeline[kinds.index("Invert")] = dict(type="Invert", prob=1.0)
    films = [pair(tmp_path, size=size)]
    copies, _ = copy_films(films, Copies(tmp_path, 112, 1))
    of_film, of_copy = (trained_on(tmp_path, found, pipeline) for found in (films, copies))
    width, height = (round(448 * side / 300) for side in size)
    for sample in (of_film, of_copy):
        pixels = sample["inputs"][0].clone()
        assert pixels.shape == (448, 448)
        assert pixels[: height - 1, : width - 1].any()
        pixels[: height + 1, : width + 1] = 0
        assert not pixels.any()  # the padding
        assert film_shape(sample["data_samples"].metainfo) == pytest.approx((height, width), abs=1)
    boxes = [sample["data_samples"].gt_instances.bboxes.numpy() for sample in (of_film, of_copy)]
    np.testing.assert_allclose(boxes[1], boxes[0], atol=448 / 112 / 2)  # half a pixel of the copy


def trained_on(root, films, pipeline):
    """The output of `pipeline` for the first of `films` below `root`."""
    (root / "ann.json").write_text(json.dumps(build_coco([film for film, _ in films], ("hip",), {})))
    settings = dict(type="RoiDataset", data_root=str(root), ann_file="ann.json", data_prefix=dict(img=""))
    init_default_scope("mmdet")
    return DATASETS.build(dict(settings, pipeline=pipeline))[0]


def test_padded_copies_are_made_again(tmp_path):
    """Earlier versions wrote squares with the same comment."""
    films, copies = [pair(tmp_path)], Copies(tmp_path, 112, 1)
    copy_films(films, copies)
    path = tmp_path / "s_112/a.png"
    with Image.open(path) as made:
        stamp = PngInfo()
        stamp.add_text("Comment", made.info["Comment"])
        square = Image.new("L", (112, 112))
        square.paste(made)
    square.save(path, pnginfo=stamp)
    assert read_radiograph(path).shape == (112, 112)  # still readable
    copy_films(films, copies)
    assert read_radiograph(path).shape == (75, 112)


def test_current_copies_are_kept_and_old_ones_made_again(tmp_path):
    films = [pair(tmp_path)]
    copies = Copies(tmp_path, 112, 1)
    path = tmp_path / "s_112/a.png"
    copy_films(films, copies)
    first = path.stat().st_mtime_ns
    copy_films(films, copies)
    assert path.stat().st_mtime_ns == first
    os.utime(tmp_path / "a.jpg", ns=(first + 10**9, first + 10**9))  # the film was replaced
    copy_films(films, copies)
    second = path.stat().st_mtime_ns
    assert second > first
    path.write_bytes(path.read_bytes()[:20])  # damaged by someone else
    copy_films(films, copies)
    assert read_radiograph(path).shape == (75, 112)


def test_other_cropping_makes_copies_again(tmp_path):
    name, candidate = pair(tmp_path)[0], pair(tmp_path)[1]
    for crop in ((10, 0), (0, 10)):  # the same size
        cropped = Candidate(candidate.file, "P", "a", crop=crop)
        ((copy, _),), _ = copy_films(
            [(Film("a.jpg", 300, 190, "s", "P", name.rois), cropped)], Copies(tmp_path, workers=1)
        )
        expected = read_radiograph(tmp_path / "a.jpg")[crop[0] : 200 - crop[1]]
        np.testing.assert_array_equal(read_radiograph(tmp_path / copy.file_name), expected)


def test_equal_short_names_keep_their_extensions(tmp_path):
    films = [
        pair(tmp_path, "x/a.jpg", short="x/a"),
        pair(tmp_path, "x/a.jpeg", short="x/a"),
        pair(tmp_path, "b.jpg", short="b"),
    ]
    made, _ = copy_films(films, Copies(tmp_path, workers=2))
    assert [copy.file_name for copy, _ in made] == [
        "s_upright/x/a.jpg.png",
        "s_upright/x/a.jpeg.png",
        "s_upright/b.png",
    ]


def test_undecodable_films_are_faults(tmp_path):
    films = [pair(tmp_path), pair(tmp_path, "b.jpg", short="b")]
    write(tmp_path / "b.jpg", (tmp_path / "b.jpg").read_bytes()[:-30])
    made, (fault,) = copy_films(films, Copies(tmp_path, workers=2))
    assert [copy.file_name for copy, _ in made] == ["s_upright/a.png"]
    assert fault.name == "b.jpg"
    assert fault.reason.startswith("cut short")
    assert not (tmp_path / "s_upright/b.png").exists()


def test_the_hash_compares_neighbours():
    falling = np.tile(np.linspace(255, 0, 170).astype(np.uint8), (160, 1))
    assert not difference_hash(falling).any()
    assert difference_hash(falling[:, ::-1]).all()


@given(bits=st.lists(st.lists(st.booleans(), min_size=256, max_size=256), max_size=5), copies=st.integers(0, 3))
def test_pairs_are_those_of_a_brute_force_search(bits, copies):
    hashes = [np.array(row) for row in bits]
    for n, row in enumerate(hashes[:copies]):
        near = row.copy()
        near[: 10 * n] ^= True  # 0, 10 and 20 bits of 256; 17.9 are allowed
        hashes.append(near)
    names = [f"{n}.jpg" for n in range(len(hashes))]
    expected = [
        NearDuplicate((hashes[i] != hashes[j]).mean(), names[i], names[j])
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] != hashes[j]).mean() <= module.LARGEST_DISTANCE
    ]
    assert near_duplicates(names, hashes) == sorted(expected)


def test_the_block_size_does_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    hashes = [rng.random(256) < 0.5 for _ in range(5)] * 3
    names = [f"{n:02}.jpg" for n in range(15)]
    whole = near_duplicates(names, hashes)
    assert len(whole) == 15  # five groups of three
    monkeypatch.setattr(module, "_BLOCK", 4)
    assert near_duplicates(names, hashes) == whole


def test_groups_are_chains():
    names = ["d", "a", "b", "c", "e"]
    pairs = [NearDuplicate(0, "a", "b"), NearDuplicate(0, "b", "d"), NearDuplicate(0.01, "c", "e")]
    assert groups(names, pairs) == {"d": "d", "a": "d", "b": "d", "c": "c", "e": "c"}
    assert groups(["a"], []) == {"a": "a"}


def test_real_films_saved_again_are_found_and_others_are_not(shared):
    paths = sorted((shared / "data/fracatlas_hips/images").glob("*.jpg"))[:30]
    films = [read_radiograph(path) for path in paths]
    changed = []
    for pixels in films[:10]:
        small = Image.fromarray(pixels).resize((pixels.shape[1] // 2, pixels.shape[0] // 2))
        buffer = io.BytesIO()
        Image.eval(small, lambda v: int(255 * (v / 255) ** 0.7)).save(buffer, "JPEG", quality=60)
        changed.append(np.asarray(Image.open(buffer)))
    names = [path.name for path in paths] + [f"copy of {path.name}" for path in paths[:10]]
    found = near_duplicates(names, [difference_hash(pixels) for pixels in films + changed])
    assert {(pair.first, pair.second) for pair in found} == {(path.name, f"copy of {path.name}") for path in paths[:10]}
    steps = [brightness_steps(pixels) for pixels in films[:10] + changed]
    assert min(steps[n] @ steps[10 + n] for n in range(10)) > LEAST_CORRELATION
    assert max(steps[n] @ steps[m] for n in range(10) for m in range(n)) < LEAST_CORRELATION


def test_two_knees_that_only_hashes_take_for_one(shared):
    """The closest of all pairs of 104 films, which are of different knees."""
    films = [read_radiograph(shared / f"data/fracatlas_knees/images/IMG000{number}.jpg") for number in ("0772", "3018")]
    names, hashes = ["one", "other"], [difference_hash(pixels) for pixels in films]
    assert near_duplicates(names, hashes)
    one, other = (brightness_steps(pixels) for pixels in films)
    assert one @ other < 0.5


def test_steps_of_a_uniform_film_are_like_no_others():
    grey = brightness_steps(np.full((90, 70), 128, np.uint8))
    assert not grey.any()
    ramp = brightness_steps(np.tile((np.arange(70) ** 2 // 20).astype(np.uint8), (90, 1)))
    assert ramp @ ramp == pytest.approx(1)
    assert ramp @ grey == 0


def test_a_digest_by_hand(tmp_path):
    """SHA-256 of the size in eight bytes and the first 64 KiB."""
    content = bytes(range(256)) * 300  # 76,800 bytes
    (tmp_path / "a.dcm").write_bytes(content)
    expected = hashlib.sha256((76800).to_bytes(8, "big") + content[:65536]).hexdigest()[:16]
    assert film_digest(tmp_path / "a.dcm") == film_digest(content) == expected
    assert film_digest(content + b"x") != expected  # the size differs


@pytest.mark.parametrize("side", [None, 64])
def test_a_copy_has_the_digest_of_its_film(tmp_path, side):
    films = [pair(tmp_path / "films"), pair(tmp_path / "films", "b.jpg", (400, 100), short="b")]
    copies, _ = copy_films(films, Copies(tmp_path / "out", side, workers=1))
    digests = [film_digest(tmp_path / "films" / name) for name in ("a.jpg", "b.jpg")]
    assert [film_digest(tmp_path / "out" / copy.file_name) for copy, _ in copies] == digests
    assert len(set(digests)) == 2
    once_more = pair(tmp_path / "out", copies[0][0].file_name, (copies[0][0].width, copies[0][0].height), short="c")
    content = (tmp_path / "out" / copies[1][0].file_name).read_bytes()
    once_more[1].file.path.write_bytes(content)  # a copy of a copy
    again, _ = copy_films([once_more], Copies(tmp_path / "twice", 32, workers=1))
    assert film_digest(tmp_path / "twice" / again[0][0].file_name) == digests[1]


@given(st.binary(max_size=60))
def test_no_content_is_too_odd_for_a_digest(content):
    assert len(film_digest(b"\x89PNG" + content)) == 16

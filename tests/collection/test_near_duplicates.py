import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hipdet.data import copies as module
from hipdet.data.copies import NearDuplicate, difference_hash, groups, near_duplicates
from hipdet.radiographs.read import read_radiograph


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


def test_blocks_change_nothing(monkeypatch):
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


def test_real_films_saved_anew_are_found_and_others_are_not(shared):
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

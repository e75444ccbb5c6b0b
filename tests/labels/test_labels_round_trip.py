"""Any boxes written in any format are read back; any damage is a DatasetError or nothing."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.data.formats.reader import read_labels
from label_writers import TEN, WRITERS, items

ANY = pytest.mark.parametrize("format", WRITERS)


@st.composite
def films(draw):
    """Up to 3 films with up to 3 different boxes inside them, at least 0.01 px wide and high."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(2, 4000)), draw(st.integers(2, 4000))
        boxes = []
        for _ in range(draw(st.integers(0, 3))):
            x0, x1 = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
            y0, y1 = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
            box = (x0, y0, x1, y1)
            near = (max(abs(a - b) for a, b in zip(box, other)) < 0.01 for other in boxes)
            if x1 - x0 > 0.01 and y1 - y0 > 0.01 and not any(near):
                boxes.append(box)
        found.append((f"film {number}.jpg", (width, height), boxes))
    return found


@ANY
@settings(max_examples=25, deadline=None)
@given(films())
def test_round_trip(format, found):
    write, _, tolerance = WRITERS[format]
    tolerance = max(tolerance, 0.75e-6 * 4000) if "rounded" in format else tolerance
    origin = {"voc": 0, "voc standard": 1}.get(format, "auto")
    sizes = {name.rpartition(".")[0]: size for name, size, _ in found}
    with tempfile.TemporaryDirectory() as folder:
        read = read_labels(write(Path(folder), found), origin=origin, film_size=sizes.get)
    by_name = {film.name.replace(".jpg", ""): film for film in read}
    assert len(by_name) == len(read) == len(found)
    for name, _, boxes in found:
        film = by_name[name.replace(".jpg", "")]
        assert [box.box for box in film.boxes] == [pytest.approx(box, abs=tolerance, rel=0) for box in boxes]


def read_or_refuse(path, format):
    """Nothing but DatasetError, which names the file, may be raised."""
    try:
        refused = None if read_labels(path, format, film_size=lambda name: (454, 373)) else "nothing read, nothing said"
    except DatasetError as error:
        refused = str(error)
    assert refused is None or refused.startswith(f"{path}: ")


@ANY
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damage_is_no_traceback(format, data):
    """Bytes of one file replaced, left out or put in: the labels are read, or DatasetError says what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[format][0](Path(folder), items(TEN[:2]))
        path = path if path.is_file() else next(iter(sorted(path.glob("IMG0000*"))))
        content = path.read_bytes()
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(content)))
            end = min(len(content), start + data.draw(st.integers(0, 12)))
            junk = data.draw(
                st.sampled_from([b"", b'"', b"null", b"[]", b"{}", b"-1", b"1e999", b"<", b"\xff", b"nan", b","])
            )
            content = content[:start] + junk + content[end:]
        path.write_bytes(content)
        named = data.draw(st.sampled_from([None, WRITERS[format][1]]))
        read_or_refuse(path, named)


KEYS = (
    *("images", "annotations", "categories", "id", "file_name", "shapes", "points", "data", "image", "result", "value"),
    *("regions", "filename", "shape_attributes", "region_attributes", "type", "name", "_via_img_metadata"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a.jpg", "rect"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from([None, "coco", "labelme", "labelstudio", "via"]))
def test_any_json_is_no_traceback(document, format):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(json.dumps(document))
        read_or_refuse(path, format)

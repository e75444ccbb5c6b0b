"""Records from files that anyone may have written: whatever the bytes, a record or our error."""

import json
import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipdet.core.errors import DatasetError
from hipdet.core.records import Record, parse_json, read_json, records, shown, strict_json

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[NaN]", "NaN is not a number of JSON"),
        (b"[1, -Infinity]", "-Infinity is not a number of JSON"),
        (b"[1, 1e400]", "'1e400' is too large a number"),
        (b"[-1E+999]", "'-1E+999' is too large a number"),
        (b"[" + b"9" * 400 + b".0]", "is too large a number"),
        (b'{"a": 1, "b": 2, "a": 3}', "key 'a' occurs twice in an object"),
        (b'["\xff"]', "not UTF-8"),
        (rb'["\ud800"]', "not UTF-8"),
        ("[1]".encode("utf-16"), "not UTF-8"),
        (DEEP.encode(), "nested too deeply"),
        (b"[" + b"9" * 10_000 + b"]", "not JSON"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_strict_json(tmp_path, data, message):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DatasetError) as error:
        read_json(tmp_path / "a.json", "a list of numbers")
    assert str(error.value).startswith(f"{tmp_path}/a.json: ")
    assert message in str(error.value)
    assert "expected a list of numbers" in str(error.value)
    assert len(str(error.value)) < 500 + len(str(tmp_path))


def test_utf8_with_and_without_byte_order_mark(tmp_path):
    for data in (b'{"a": "\xc3\xa9"}', b'\xef\xbb\xbf{"a": "\xc3\xa9"}', rb'{"a": "\u00e9"}'):
        (tmp_path / "a.json").write_bytes(data)
        assert read_json(tmp_path / "a.json", "a record") == {"a": "é"}
    assert parse_json(rb'"\ud83d\ude00"', "a", "a text") == "\N{GRINNING FACE}"  # one character in two escapes


def test_large_numbers_and_texts_that_look_like_them():
    assert parse_json(b'[1e100, 1E300, "1e400", 5e-400]', "a", "a list") == [1e100, 1e300, "1e400", 0.0]


def test_keys_that_are_dropped():
    assert strict_json('{"imageData": "x", "a": [{"imageData": 1, "b": 2}]}', {"imageData"}) == {"a": [{"b": 2}]}


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("pipe", "not a file"), (".", "not a file"), ("none", "No such file"), ("a\0", "null")):
        with pytest.raises(DatasetError, match=found):
            read_json(tmp_path / name, "a record")


SOUND = {"t": "text", "n": 1.5, "w": 7, "f": True, "c": "left", "b": [1, 2, 3, 4], "l": [1], "r": {"n": 1}, "rs": [{}]}
READ = {
    "t": lambda record: record.text("t"),
    "n": lambda record: record.number("n", 0, 10),
    "w": lambda record: record.whole("w", 0, 10),
    "f": lambda record: record.flag("f"),
    "c": lambda record: record.one_of("c", ("left", "right", "")),
    "b": lambda record: record.box("b", 1e6),
    "l": lambda record: record.items("l", most=3),
    "r": lambda record: record.record("r").number("n"),
    "rs": lambda record: [each.values for each in record.records("rs")],
}
REFUSED = {
    "t": [None, 1, [], "x" * 1001],
    "n": [None, True, "1", float("inf"), float("nan"), -0.1, 10.1, 10**400, [1]],
    "w": [None, True, "7", 7.9, -1, 11, 2**60, 1e300, {}],
    "f": [None, 2, "true", 1.5, []],
    "c": [None, 1, "up", [], {}, True],
    "b": [None, 5, [1, 2, 3], [1, 2, 3, None], [1, 2, 3, float("nan")], [1, 2, 3, 1e7], {"0": 1}],
    "l": [None, {}, "ab", [1, 2, 3, 4]],
    "r": [None, [], "x", {"n": None}, {}],
    "rs": [None, {}, [1], [[]], ["x"]],
}


@pytest.mark.parametrize("key", SOUND)
def test_entries_are_checked_as_they_are_read(key):
    expected = {"r": 1, "b": (1, 2, 3, 4)}.get(key, SOUND[key])
    assert READ[key](Record.of(SOUND, "a.json")) == expected
    for value in REFUSED[key]:
        with pytest.raises(DatasetError, match=r"a\.json.*expected .*: export it again"):
            READ[key](Record.of({**SOUND, key: value}, "a.json", remedy="export it again"))
    with pytest.raises(DatasetError, match=f"no {key}, expected"):
        READ[key](Record.of({}, "a.json"))


def test_defaults_stand_for_missing_entries_only():
    record = Record.of({"n": "x"}, "a.json")
    assert record.text("t", None) is None
    assert record.number("m", default=None) is None
    assert record.whole("w", default=3) == 3
    assert record.flag("f", default=False) is False
    assert record.one_of("c", ("a",), default="") == ""
    assert record.items("l", ()) == ()
    with pytest.raises(DatasetError, match="n is 'x', expected a number"):
        record.number("n", default=None)


@pytest.mark.parametrize("value", [None, 1, "x", [], 1.5])
def test_what_is_no_object(value):
    with pytest.raises(DatasetError, match=r"a\.json: found .*, expected an object"):
        Record.of(value, "a.json")


def test_records_are_numbered_from_1():
    assert [each.where for each in records([{}, {}], "a.json: row")] == ["a.json: row 1", "a.json: row 2"]
    with pytest.raises(DatasetError, match=r"a\.json: row 2: found 3, expected an object"):
        records([{}, 3], "a.json: row")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.sampled_from(sorted(READ)), ANY)
def test_any_value_gives_an_entry_or_our_error(key, value):
    with suppress(DatasetError):
        READ[key](Record.of({**SOUND, key: value}, "a.json"))


@given(st.binary() | ANY.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_json_or_our_error(data):
    try:
        content = parse_json(data, "a", "JSON")
    except DatasetError:
        return
    assert parse_json(json.dumps(content, ensure_ascii=False, allow_nan=False), "a", "JSON") == content


def test_long_values_are_shortened():
    assert len(shown(10**5000)) < 200
    assert len(shown({"a": ["x" * 10_000] * 1000})) < 1000

import json

import pytest

from hipdet.core.files import replacing, write_json, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(TypeError), replacing(target) as path:
        path.write_text("half", **{"no such argument": 1})
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_makes_folders_and_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "b" / "c.jpg") as path:
        assert path.suffix == ".jpg"
        path.write_bytes(b"x")
    assert (tmp_path / "b" / "c.jpg").read_bytes() == b"x"
    assert (tmp_path / "b" / "c.jpg").stat().st_mode & 0o777 in (0o644, 0o664, 0o600, 0o666)


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "ü": None})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"b": [1, 2.5], "ü": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()

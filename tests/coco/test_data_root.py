from pathlib import Path

import pytest

from hipdet.core.data_root import coco_file, data_root_of
from hipdet.core.errors import ConfigError


def test_data_root():
    assert data_root_of(Path("films/annotations/hips.json")) == Path("films")
    assert data_root_of(Path("films/hips.json")) == Path("films")


def test_a_file_under_the_data_root_or_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    for path in (root / "both.json", root / "there.json", tmp_path / "both.json", tmp_path / "here.json"):
        path.touch()
    assert coco_file(Path("both.json"), root) == root / "both.json"
    assert coco_file(Path("there.json"), root) == root / "there.json"
    assert coco_file(Path("here.json"), root) == Path("here.json")
    assert coco_file(Path("both.json"), None) == Path("both.json")
    assert coco_file(root / "there.json", Path("elsewhere")) == root / "there.json"
    with pytest.raises(ConfigError, match=r"--ann none.json: no such file, neither in .*root nor here"):
        coco_file(Path("none.json"), root)
    with pytest.raises(ConfigError, match=r"--ann there.json: no such file$"):
        coco_file(Path("there.json"), None)

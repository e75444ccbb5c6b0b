import zipfile

import pytest

from film_sources import write
from hipdet.core.errors import DatasetError
from hipdet.core.stored_files import files_below


def zipped(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_folders_and_zips_alike(tmp_path):
    write(tmp_path / "b/1", b"one")
    write(tmp_path / ".cache/x", b"")
    write(tmp_path / "b/._1", b"")
    zipped(tmp_path / "a.zip", **{"b/2": b"two", "__MACOSX/b/._2": b"", "b/.DS_Store": b"", "empty/": b""})
    files = list(files_below(tmp_path, zips=True))
    assert [(file.name, file.base, file.read()) for file in files] == [("a/b/2", "2", b"two"), ("b/1", "1", b"one")]
    assert [file.name for file in files_below(tmp_path)] == ["a.zip", "b/1"]
    assert [file.name for file in files_below(tmp_path / "a.zip", zips=True)] == ["b/2"]


def test_folders_that_are_not_kept_are_not_listed(tmp_path):
    write(tmp_path / "x/1", b"")
    write(tmp_path / "y/1", b"")
    zipped(tmp_path / "z.zip", **{"x/1": b"", "y/1": b""})
    asked = []

    def keep(folder):
        asked.append(folder)
        return not folder.endswith("x")

    assert [file.name for file in files_below(tmp_path, True, keep)] == ["z/y/1", "y/1"]
    assert set(asked) == {"x", "y", "z/x", "z/y", "z"} or set(asked) == {"x", "y", "z/x", "z/y"}


@pytest.mark.parametrize("name", ["../1", "/etc/1", "C:/1", "a\\..\\1"])
def test_members_that_lead_out(tmp_path, name):
    zipped(tmp_path / "a.zip", **{name: b""})
    with pytest.raises(DatasetError, match=r"a\.zip: member .* leads out of the archive: pack it anew"):
        list(files_below(tmp_path, zips=True))


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("hipdet.core.stored_files.MAX_MEMBER", 1000)
    zipped(tmp_path / "a.zip", film=b"\0" * 1001)
    (file,) = files_below(tmp_path, zips=True)
    with pytest.raises(DatasetError, match="film unpacks to 1001 bytes, expected at most 1000"):
        file.read()


def test_an_encrypted_or_vanished_file(tmp_path):
    path = zipped(tmp_path / "a.zip", film=b"film")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag of encryption
    path.write_bytes(content)
    (file,) = files_below(tmp_path, zips=True)
    with pytest.raises(DatasetError, match=r"film can't be unpacked \(.*encrypted"):
        file.read()
    write(tmp_path / "b/1", b"")
    (other,) = files_below(tmp_path / "b")
    other.path.unlink()
    with pytest.raises(DatasetError, match="1: can't be read: No such file"):
        other.read()

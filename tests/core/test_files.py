import csv
import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from film_sources import write
from hipdet.core import versions as environment
from hipdet.core.configs import coco_file, get_data_root
from hipdet.core.errors import ConfigError, DatasetError, StorageError
from hipdet.core.files import (
    Journal,
    name_of,
    path_below,
    read_csv,
    replacing,
    unguarded,
    write_csv,
    write_json,
    write_text,
)
from hipdet.core.records import plain
from hipdet.core.stored_files import files_below


def zipped(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_that_names_its_own_folder(tmp_path):
    """As ``tar -a -cf x.zip ./`` packs it."""
    zipped(tmp_path / "x.zip", **{"./": b"", "./a/1.dcm": b"one"})
    assert [(file.name, file.read()) for file in files_below(tmp_path, zips=True)] == [("x/./a/1.dcm", b"one")]


def test_folders_and_zips_are_listed_alike(tmp_path):
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


def test_special_files_are_listed_without_being_opened(tmp_path):
    for name in ("b/pipe.jpg", "z/a.zip"):
        (tmp_path / name).parent.mkdir()
        os.mkfifo(tmp_path / name)
    (tmp_path / "b/loop.jpg").symlink_to("loop.jpg")
    assert [file.name for file in files_below(tmp_path / "b")] == ["loop.jpg", "pipe.jpg"]
    with pytest.raises(DatasetError, match=r"a\.zip: not a readable zip .it is a named pipe"):
        list(files_below(tmp_path / "z", zips=True))


@pytest.mark.parametrize("name", ["../1", "/etc/1", "C:/1", "a\\..\\1"])
def test_members_that_lead_out(tmp_path, name):
    zipped(tmp_path / "a.zip", **{name: b""})
    with pytest.raises(DatasetError, match=r"a\.zip: member .* leads out of the archive: create the zip again"):
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


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(TypeError), replacing(target) as path:
        path.write_text("half", **{"no such argument": 1})
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_text(tmp_path / "a.txt", "new")
    assert error.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


@pytest.mark.parametrize("link", [False, True])
def test_what_is_no_file_is_not_replaced(tmp_path, link):
    """As root, a file would take the place of /dev/null for every program of the machine."""
    os.mkfifo(tmp_path / "pipe")
    target = tmp_path / "link" if link else tmp_path / "pipe"
    if link:
        target.symlink_to("pipe")
    with pytest.raises(FileExistsError, match="no regular file, which could be replaced"):
        write_json(target, {})
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", target.name}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_journal_that_is_no_regular_file_is_refused(tmp_path, make):
    make(tmp_path / "j.jsonl")
    for busy in (None, "busy"):
        with pytest.raises(StorageError, match=r"j\.jsonl: can't be written \(it is no regular file\)"):
            Journal(tmp_path / "j.jsonl", busy)


def test_a_journal_that_another_program_replaces_is_still_read(tmp_path):
    """As hipdet predict --overwrite does, while another one writes to the same --out."""
    with Journal(tmp_path / "j.jsonl") as journal:
        place = journal.append([{"number": 1}])
        (tmp_path / "j.jsonl").unlink()
        (tmp_path / "j.jsonl").write_text("")
        assert journal.at(place) == {"number": 1}
        assert journal.at(journal.append([{"number": 2}])) == {"number": 2}


def test_a_journal_that_another_program_edits_is_no_journal(tmp_path):
    with Journal(tmp_path / "j.jsonl") as journal:
        place = journal.append([{"number": 1}])
        (tmp_path / "j.jsonl").write_text("[1]\n")
        with pytest.raises(
            DatasetError, match=r"j\.jsonl: byte 0: found \[1\], expected an object: was the file edited"
        ):
            journal.at(place)


def test_makes_folders_and_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "b" / "c.jpg") as path:
        assert path.suffix == ".jpg"
        path.write_bytes(b"x")
    assert (tmp_path / "b" / "c.jpg").read_bytes() == b"x"
    assert (tmp_path / "b" / "c.jpg").stat().st_mode & 0o777 in (0o644, 0o664, 0o600, 0o666)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (b"a/film 1.png", "a/film 1.png"),
        ("Hüfte.png".encode(), "Hüfte.png"),
        (b"100%.png", "100%.png"),
        (b"H\xfcfte.png", "H%FCfte.png"),
        (b"100%\xff.png", "100%25%FF.png"),
        (b"a\\b.png", "a%5Cb.png"),
        (b"a\n\x1b[31m.png", "a%0A%1B[31m.png"),
        ("a\u2028b.png".encode(), "a%E2%80%A8b.png"),
        ("a\u202egnp.exe".encode(), "a%E2%80%AEgnp.exe"),  # shown from right to left
        (b"C:x.png", "C%3Ax.png"),
        (b"ab:x.png", "ab:x.png"),
        (b"\xed\xa0\x80.png", "%ED%A0%80.png"),  # half a character, as some systems write it
    ],
)
def test_names_are_utf8_without_control_characters(tmp_path, stored, name):
    assert name_of(os.fsdecode(stored)) == name
    assert path_below(tmp_path, name) == tmp_path / os.fsdecode(stored)


@pytest.mark.parametrize("make", [lambda path: Path(path).write_bytes(b""), os.mkdir])
def test_two_names_that_would_be_written_alike(tmp_path, make):
    for name in (b"a\xff", b"a%FF", b"b%FF"):
        make(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    with pytest.raises(DatasetError, match="two files are called a%FF, one with bytes that aren't UTF-8: rename it"):
        list(files_below(tmp_path))


def test_a_name_as_it_is_comes_before_its_escape(tmp_path):
    (tmp_path / "a%FF").write_text("")
    assert path_below(tmp_path, "a%FF") == tmp_path / "a%FF"
    assert path_below(tmp_path, "b%FF") == tmp_path / os.fsdecode(b"b\xff")


@given(st.binary(min_size=1))
@example(b"%25%FF")
@example(b"\xff%25%FF")
def test_every_name_is_found_again(data):
    stored = os.fsdecode(data.replace(b"\0", b"."))
    name = name_of(stored)
    assert name.encode().decode() == name
    assert name.isprintable() or not any(letter < " " for letter in name)
    # in names that are UTF-8 an escape stays as it is, which is told apart by the file that is there
    found = os.fsdecode(path_below(Path(), name))
    assert found == str(Path(stored)) or "%" in stored


@pytest.mark.parametrize("name", ["%2E%2E/x", "%2e%2e%2fx", "a%2F..%2F..%2Fx%FF", "%00%FF", "%2Fetc%FF"])
def test_no_escape_leads_out(tmp_path, name):
    assert path_below(tmp_path, name) == tmp_path / name


def test_formulas_are_guarded_and_numbers_are_not(tmp_path):
    texts = ["=cmd()|x.jpg", "+1+1", "-x", "@a", "\tx", "\rx", "'quoted", "'=x", "a=b", ""]
    numbers = ["-1.5", "+3", "-2e-05", "-.5"]
    write_csv(tmp_path / "a.csv", [[*texts, *numbers, -1.5, 2, None]])
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.reader(file)
    guarded = ["'=cmd()|x.jpg", "'+1+1", "'-x", "'@a", "'\tx", "'\rx", "'quoted", "''=x", "a=b", ""]
    assert row == [*guarded, *numbers, "-1.5", "2", ""]
    back = [unguarded(cell) for cell in row]
    assert back == [*texts, *numbers, "-1.5", "2", ""]


def test_tables_are_read_back(tmp_path):
    rows = [["=1+1", "a\nb"], ["'quoted", ""], ["größe\r", "'=x"]]
    write_csv(tmp_path / "a.csv", [["film", "other", "error"], *([film, 1, error] for film, error in rows)])
    assert read_csv(tmp_path / "a.csv", ("film", "error")) == rows
    assert read_csv(tmp_path / "none.csv", ("film",)) == []


@pytest.mark.parametrize(
    "content", [b"film\na\n", b"film,error\na\n", b"film,error\n\xff,\n", b"film,error\na," + bytes(200_000)],
    ids=["no column", "short row", "no UTF-8", "huge"],
)  # fmt: skip
def test_other_tables_are_refused(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.csv: no table of hipdet .*expected the columns film, error"):
        read_csv(tmp_path / "a.csv", ("film", "error"))


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "ü": None})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"b": [1, 2.5], "ü": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_plain():
    found = plain(dict(a=np.float64(0.5), b=[np.int64(3), "x"], c=(np.float32(1.5), None), d={"e": np.bool_(True)}))
    assert found == dict(a=0.5, b=[3, "x"], c=(1.5, None), d={"e": True})
    assert [type(found["a"]), type(found["b"][0])] == [float, int]


def test_data_root():
    assert get_data_root(Path("films/annotations/hips.json")) == Path("films")
    assert get_data_root(Path("films/hips.json")) == Path("films")


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
    with pytest.raises(ConfigError, match=r"--ann none.json: no such file in .*root or the working directory"):
        coco_file(Path("none.json"), root)
    with pytest.raises(ConfigError, match=r"--ann there.json: no such file$"):
        coco_file(Path("there.json"), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.3.0", (3, 3, 0)), ("2.1.0rc1+cpu", (2, 1, 0)), ("0.10.7", (0, 10, 7)), ("4.0b2", (4, 0))],
)
def test_release(text, expected):
    assert environment.release(text) == expected


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        (dict(mmengine="0.10.7", mmdet="3.3.0"), "mmcv is not installed"),
        (
            {"mmengine": "0.10.7", "mmcv-lite": "2.2.0", "mmdet": "3.3.0"},
            "mmcv-lite is 2.2.0, which mmdet 3.3.0 rejects",
        ),
        ({"mmengine": "0.10.7", "mmcv": "1.7.2", "mmdet": "2.28.2"}, "mmcv is 1.7.2 .*; mmdet is 2.28.2"),
        ({"mmengine": "0.7.1", "mmcv": "2.1.0", "mmdet": "3.3.0"}, "mmengine is 0.7.1"),
        ({}, "mmengine is not installed"),
    ],
)
def test_wrong_versions_name_what_was_found_and_the_line_to_install(versions, message, monkeypatch):
    monkeypatch.setattr(
        environment,
        "installed",
        lambda names: next(((name, versions[name]) for name in names if name in versions), None),
    )
    with pytest.raises(ImportError, match=f"{message}.*pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0"):
        environment.check_versions()


@pytest.mark.parametrize(
    "versions",
    [
        {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"},
        {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"},  # the maintained fork
    ],
)
def test_right_versions(versions, monkeypatch):
    monkeypatch.setattr(
        environment,
        "installed",
        lambda names: next(((name, versions[name]) for name in names if name in versions), None),
    )
    environment.check_versions()


def test_what_python_could_not_decode_is_written_as_utf8(tmp_path):
    """Texts with names of files under an ASCII locale: their UTF-8, and percent escapes of bytes that aren't."""
    text = os.fsdecode(b"a").replace("a", "gr\udcc3\udcb6\udcc3\udc9fe \udcff")
    write_json(tmp_path / "a.json", {text: [text]})
    write_csv(tmp_path / "a.csv", [[text]])
    write_text(tmp_path / "a.txt", text)
    for name in ("a.json", "a.csv", "a.txt"):
        assert "größe %FF" in (tmp_path / name).read_text(encoding="utf-8")


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*a\.txt"):
            write_text(tmp_path / "a.txt", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_name_of_250_characters_can_be_written(tmp_path):
    write_text(tmp_path / ("n" * 250), "x")
    assert (tmp_path / ("n" * 250)).read_text() == "x"

import csv
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_bytes import DEFLATED, PATIENT, film
from film_bytes import JPEG, UPRIGHT
from hipdet.core.errors import ConfigError
from hipdet.inference.film_list import FilmList, FilmSource, films_at
from hipdet.inference.selection import HEADERS, HeaderFilter, Shard

NAMES = st.lists(st.text(min_size=1, max_size=30), unique=True, max_size=60)


def listed(names):
    return FilmList(Path("films"), {at: FilmSource(name) for at, name in enumerate(names, 1)}, {})


@settings(deadline=None)
@given(NAMES, st.integers(1, 12))
def test_shards_partition_the_films(names, count):
    todo = listed(names)
    shards = [Shard(number, count).films(todo) for number in range(1, count + 1)]
    found = [(at, source.name) for shard in shards for at, source in shard.films.items()]
    assert sorted(found) == [*enumerate(names, 1)]


@settings(deadline=None)
@given(NAMES, NAMES, st.integers(1, 12))
def test_a_film_stays_in_its_shard_when_others_are_added(names, more, count):
    before = {each.name for each in Shard(1, count).films(listed(names)).films.values()}
    after = {each.name for each in Shard(1, count).films(listed([*dict.fromkeys([*more, *names])])).films.values()}
    assert before <= after
    assert after - before <= set(more)


def test_the_hash_is_the_same_everywhere():
    """Machines and versions must agree, or films would be in two shards or in none."""
    names = ("a.png", "ward/0.dcm", "größe.jpg", "a%FF.png", "\udcff")
    assert [Shard.of(name, 64).number for name in names] == [25, 48, 52, 2, 50]


def test_shards_are_of_about_the_same_size():
    sizes = [len(Shard(number, 8).films(listed([f"{n}.dcm" for n in range(8000)])).films) for number in range(1, 9)]
    assert min(sizes) > 850
    assert max(sizes) < 1150


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected K/N, .*such as 3/64"),
        ("3", "expected K/N"),
        ("3/", "expected K/N"),
        ("-1/4", "expected K/N"),
        ("1.5/4", "expected K/N"),
        ("1 /4", "expected K/N"),
        ("1/4\n", "expected K/N"),
        ("٣/4", "expected K/N"),
        ("1/2/3", "expected K/N"),
        ("0/4", "'0/4': expected K/N, from 1/N to N/N"),
        ("5/4", "'5/4': expected K/N, from 1/N to N/N"),
        ("1/0", "expected K/N"),
        ("1/1000001", "N up to 1,000,000"),
    ],
)
def test_bad_shards(text, message):
    with pytest.raises(ConfigError, match=message):
        Shard.parse(text)


def test_folders_sort_as_numbers():
    assert Shard.parse("3/64").folder == "shard-03-of-64"
    assert Shard.parse("3/3").folder == "shard-3-of-3"


FILMS = {
    "fits.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined="HIP", ViewPosition="AP"),
    "small letters.dcm": film(UPRIGHT, Modality="cr ", BodyPartExamined="Pelvis", ViewPosition="ap"),
    "several.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined="SPINE\\HIP", ViewPosition="AP"),
    "deflated.dcm": film(UPRIGHT, DEFLATED, Modality="DX", BodyPartExamined="HIP", ViewPosition="AP"),
    "chest.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined="CHEST", ViewPosition="AP"),
    "lateral": film(UPRIGHT, with_preamble=False, Modality="DX", BodyPartExamined="HIP", ViewPosition="LL"),
    "slice.dcm": film(UPRIGHT, Modality="CT", BodyPartExamined="HIP"),
    "name.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined=PATIENT, ViewPosition="AP"),
    "no view.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined="HIP"),
    "empty.dcm": film(UPRIGHT, Modality="DX", BodyPartExamined="", ViewPosition="\\"),
    "photo.jpg": JPEG,
    "broken.dcm": film(UPRIGHT)[:200],
    "nothing.png": b"",
}
VERDICTS = {
    "fits.dcm": (True, ""),
    "small letters.dcm": (True, ""),
    "several.dcm": (True, ""),
    "deflated.dcm": (True, ""),
    "chest.dcm": (False, "BodyPartExamined is CHEST"),
    "lateral": (False, "ViewPosition is LL"),
    "slice.dcm": (False, "Modality is CT"),
    "name.dcm": (False, "BodyPartExamined is something else"),  # a text that may be a patient's name isn't shown
    "no view.dcm": (True, "no ViewPosition"),
    "empty.dcm": (True, "no BodyPartExamined and no ViewPosition"),
    "photo.jpg": (True, "no DICOM film"),
    "nothing.png": (True, "no DICOM film"),
}


@pytest.fixture
def archive(tmp_path):
    for name, content in FILMS.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def wanted():
    pytest.importorskip("pydicom")
    return HeaderFilter.of(Modality=["CR", "dx"], BodyPartExamined=["PELVIS", "HIP"], ViewPosition=["AP"])


def test_films_are_found_by_their_headers(archive):
    found = wanted()
    for name, verdict in VERDICTS.items():
        assert found.check(FilmSource(name, archive / name)) == verdict, name
    assert found.check(FilmSource("broken.dcm", archive / "broken.dcm"))[0]  # predicting it says why it can't be read
    assert found.check(FilmSource("gone.dcm", archive / "gone.dcm")) == (True, "no header could be read")
    todo, lines = found.films(films_at([str(archive)]), archive / HEADERS)
    assert {each.name for each in todo.films.values()} == {
        name for name in FILMS if name not in ("chest.dcm", "lateral", "slice.dcm", "name.dcm")
    }
    assert lines[0].startswith("4 films left out by their DICOM headers (1: ")
    assert lines[1].startswith("5 films kept, whose headers don't say what they are (2: no ")
    assert "2: no DICOM film" in lines[1]
    table = list(csv.DictReader((archive / "headers.csv").open()))
    assert dict(film="chest.dcm", left_out="1", reason="BodyPartExamined is CHEST") in table
    assert PATIENT.split("^")[0] not in (archive / "headers.csv").read_text()


def test_no_pixel_is_read(tmp_path):
    """The header of a film is enough, whatever follows it."""
    cut = film(UPRIGHT, Modality="DX", BodyPartExamined="HIP", ViewPosition="AP")
    (tmp_path / "cut.dcm").write_bytes(cut[: cut.index(b"AP") + 2])
    assert wanted().check(FilmSource("cut.dcm", tmp_path / "cut.dcm")) == (True, "")


def test_without_a_filter_nothing_is_opened(tmp_path):
    assert HeaderFilter.of(Modality=None).check(FilmSource("gone.dcm")) == (True, "")
    assert HeaderFilter().films(todo := listed(["gone.dcm"]), tmp_path / HEADERS) == (todo, [])
    assert not (tmp_path / HEADERS).exists()


@pytest.mark.parametrize("value", ["", "HIP\\PELVIS", "H" * 17, "HIP;", "Hüfte"])
def test_bad_values(value):
    with pytest.raises(ConfigError, match="expected at most 16 letters, digits, _ and spaces"):
        HeaderFilter.of(BodyPartExamined=["HIP", value])


def test_pydicom_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"pip install 'hipdet\[dicom\]'"):
        HeaderFilter.of(Modality=["CR"])

import os

import pytest

from hipdet.core.errors import DatasetError
from hipdet.data.formats.reader import read_labels
from label_writers import TEN, items, write_coco, write_labelme, write_voc

VOC = "<annotation><filename>{}</filename></annotation>"


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("_", ".")).write_text(text)


def test_sorted_and_below(tmp_path):
    write(tmp_path, b_xml=VOC.format("b.jpg"), x__a_XML=VOC.format("a.jpg"), a_xml=VOC.format("c.jpg"), a_jpg="film")
    assert [film.film for film in read_labels(tmp_path)] == ["c.jpg", "b.jpg", "a.jpg"]


def test_hidden_files_and_readmes_are_no_label_files(tmp_path):
    write(tmp_path, a_xml=VOC.format("a.jpg"), README_txt="hello")
    (tmp_path / "._a.xml").write_bytes(b"\0\5\26\7")  # macOS's copy of attributes
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints/a.xml").write_text("<")
    assert len(read_labels(tmp_path)) == 1


def test_several_formats(tmp_path):
    write_voc(tmp_path, items(TEN))
    write_coco(tmp_path, items(TEN))
    expected = (
        r"several formats, Pascal VOC XML \(IMG0000\.jpg\.xml\), COCO JSON \(labels\.json\), expected one: name it"
    )
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path)
    assert len(read_labels(tmp_path, "coco")) == len(read_labels(tmp_path, "voc")) == 10


def test_faults_of_all_files(tmp_path):
    write_labelme(tmp_path, items(TEN))
    (tmp_path / "cut.json").write_text("{")
    (tmp_path / "other.json").write_text('{"x": 1}')
    with pytest.raises(DatasetError) as caught:
        read_labels(tmp_path)
    assert "2 faults" in str(caught.value)
    assert "\n  cut.json: not JSON" in str(caught.value)
    assert "\n  other.json: no known format" in str(caught.value)


def test_same_name_in_two_folders_is_two_films(tmp_path):
    write(tmp_path, x__a_xml=VOC.format("a.jpg"), y__a_xml=VOC.format("a.jpg"))
    assert [film.file.parent.name for film in read_labels(tmp_path)] == ["x", "y"]


def test_same_film_in_two_files(tmp_path):
    write(tmp_path, a_xml=VOC.format("a.jpg"), b_xml=VOC.format("a.jpg"))
    with pytest.raises(DatasetError, match=r"b\.xml: a\.jpg is labelled in a\.xml too, expected once: remove one"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"), [("none", "no such file or folder"), ("", "no label files, expected some")]
)
def test_nothing_to_read(tmp_path, name, expected):
    with pytest.raises(DatasetError, match=expected):
        read_labels(tmp_path / name)


def test_link_out_of_the_folder_is_refused(tmp_path):
    write(tmp_path, private__a_xml=VOC.format("a.jpg"), labels__b_xml=VOC.format("b.jpg"))
    (tmp_path / "labels/a.xml").symlink_to(tmp_path / "private/a.xml")
    with pytest.raises(DatasetError, match=r"a\.xml is a link out of its folder"):
        read_labels(tmp_path / "labels")


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.xml")
    with pytest.raises(DatasetError, match=r"a\.xml: not a regular file"):
        read_labels(tmp_path / "a.xml")


def test_too_large(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes no room
    with pytest.raises(DatasetError, match="1099511627776 bytes, expected at most 536870912"):
        read_labels(tmp_path / "a.json")


def test_films_are_never_opened(tmp_path, monkeypatch):
    """Paths in label files are of another machine: only label files are opened."""
    path = tmp_path / "a.xml"
    path.write_text(VOC.format("/etc/passwd"))
    opened = []
    monkeypatch.setattr(
        type(path), "read_bytes", lambda self: opened.append(self) or VOC.format("/etc/passwd").encode()
    )
    (film,) = read_labels(path)
    assert (film.film, film.name, film.relative) == ("/etc/passwd", "passwd", None)
    assert opened == [path]

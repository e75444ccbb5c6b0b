import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hipdet.core.errors import DatasetError, RadiographError
from hipdet.inference.crops import (
    COLUMNS,
    CropSettings,
    CropWindow,
    crops_by_film,
    finished,
    manifest_row,
    strangers,
    write_crops,
)
from tool_runs import run_tool

FILM = np.random.default_rng(0).integers(1, 256, (60, 80), np.uint8)  # nowhere black


def row(name="a.png", bbox=(10, 20, 20, 20), patient_side="left", score=0.9, **changes):
    other = {"left": "right", "right": "left", "": ""}[patient_side]
    return dict(
        image_id=1, category_id=1, bbox=list(bbox), score=score, file_name=name, width=80, height=60, label="hip",
        picture_side=other, patient_side=patient_side, turned=0, inverted=False, flags=[], **changes,
    )  # fmt: skip


def predictions(folder, *rows):
    path = folder / "predictions.json"
    path.write_text(json.dumps(rows))
    return path


def test_window_by_hand():
    # centre (20, 30), side 20 x 1.4 = 28
    assert CropWindow.around((10, 20, 30, 40), 0.2) == CropWindow(6, 16, 28, 28)
    # cut off by the lower edge of a film: the longer side is used, around the part that is visible
    assert CropWindow.around((10, 20, 30, 30), 0) == CropWindow(10, 15, 20, 20)
    assert CropWindow.around((10.4, 20, 30, 30), 0, tight=True) == CropWindow(10, 20, 20, 10)
    assert CropWindow.around((10, 20, 30, 30), 0.1, tight=True) == CropWindow(8, 19, 24, 12)
    assert CropWindow.around((10, 20, 10.2, 30), 0, tight=True) == CropWindow(10, 20, 1, 10)


@settings(max_examples=80, deadline=None)
@given(st.integers(-50, 100), st.integers(-50, 100), st.integers(1, 90), st.integers(1, 90))
def test_cut_is_a_cut_of_the_padded_film(x0, y0, width, height):
    padded = np.pad(FILM, 200)
    expected = padded[200 + y0 : 200 + y0 + height, 200 + x0 : 200 + x0 + width]
    np.testing.assert_array_equal(CropWindow(x0, y0, width, height).cut(FILM), expected)


def one_crop(folder, window=None, **changes):
    """The crop of a single detection, perhaps with another window."""
    ((crop,),) = crops_by_film(predictions(folder, {**row(), **changes}), CropSettings(margin=0)).values()
    return crop if window is None else replace(crop, window=window)


def test_crops_of_turned_and_inverted_films_are_upright(tmp_path):
    window = CropWindow(60, 20, 40, 40)  # half of it beyond the right edge
    plain = finished(one_crop(tmp_path, window), FILM, CropSettings())
    assert not plain[:, 20:].any()
    np.testing.assert_array_equal(plain[:, :20], FILM[20:60, 60:])
    lying = one_crop(tmp_path, window, turned=90, inverted=True)
    upright = finished(lying, FILM, CropSettings())
    np.testing.assert_array_equal(upright[20:], np.rot90(255 - FILM[20:60, 60:]))
    assert not upright[:20].any()  # outside the film: black
    np.testing.assert_array_equal(finished(lying, FILM, CropSettings(as_stored=True)), plain)


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 16), (np.uint16, 16), (np.uint16, 100)])
def test_size_and_depth(dtype, size, tmp_path):
    film = FILM.astype(dtype) * (257 if dtype == np.uint16 else 1)
    crop = one_crop(tmp_path, bbox=[10, 10, 40, 40])
    made = finished(crop, film, CropSettings(size=size))
    assert (made.shape, made.dtype) == ((size, size), dtype)
    assert abs(made.mean() / film[10:50, 10:50].mean() - 1) < 0.01


def names_of(folder, *rows):
    films = crops_by_film(predictions(folder, *rows), CropSettings())
    return {crop.name: crop.row["score"] for crops in films.values() for crop in crops}


def test_names(tmp_path):
    rows = [
        row("s/a.png"),
        row("s/a.jpg", score=0.5),
        row("s/a.jpg", score=0.8),
        row("s/a.jpg", patient_side="right"),
        row("b"),
        row("c.dcm", patient_side=""),
        row("d", score=0.4, patient_side=""),
        row("d", score=0.6, patient_side=""),
    ]
    assert names_of(tmp_path, *rows) == {
        "s/a.png_hip_left.png": 0.9,
        "s/a.jpg_hip_left_1.png": 0.8,
        "s/a.jpg_hip_left_2.png": 0.5,
        "s/a.jpg_hip_right.png": 0.9,
        "b_hip_left.png": 0.9,
        "c_hip.png": 0.9,
        "d_hip_1.png": 0.6,
        "d_hip_2.png": 0.4,
    }


def test_names_of_classes(tmp_path):
    labels = ["left lung", "left/lung", "Heart", "heart", "../..", "\u9acb", "femoral_head", "a\0b"]
    rows = [{**row("a", score=1 - at / 10, patient_side=""), "label": label} for at, label in enumerate(labels)]
    assert list(names_of(tmp_path, *rows)) == [
        "a_left-lung_1.png",
        "a_left-lung_2.png",
        "a_Heart_1.png",  # the same name if case is ignored
        "a_heart_2.png",
        "a_..-...png",
        "a_\u9acb.png",
        "a_femoral_head.png",
        "a_a-b.png",
    ]


def test_predictions_of_earlier_versions_are_read(tmp_path):
    """They have a side for every ROI, even a wrong one."""
    text = (
        '[{"image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 20.0, 20.0], "score": 0.9, "file_name": "a.jpg", '
        '"width": 80, "height": 60, "label": "hip", "picture_side": "left", "patient_side": "right", "turned": 90, '
        '"inverted": false, "flags": ["fewer_rois"]}]'
    )
    (tmp_path / "predictions.json").write_text(text)
    ((crop,),) = crops_by_film(tmp_path / "predictions.json", CropSettings()).values()
    assert crop.name == "a_hip_right.png"


def test_candidates_are_cropped_if_asked_for(tmp_path):
    rows = [row("a"), row("a", patient_side="", score=0.4, candidate=True), row("b", score=0.3, candidate=True)]
    path = predictions(tmp_path, *rows)
    assert [crop.name for crops in crops_by_film(path, CropSettings()).values() for crop in crops] == ["a_hip_left.png"]
    films = crops_by_film(path, CropSettings(), candidates=True)
    assert [crop.name for crop in films["a"]] == ["a_hip_left.png", "a_hip.png"]
    columns = [manifest_row(name, crop, CropSettings())[-1] for name, crops in films.items() for crop in crops]
    assert (COLUMNS[-1], columns) == ("candidate", [0, 1, 1])
    with pytest.raises(DatasetError, match="detection 1: candidate is 'no', expected true or false"):
        crops_by_film(predictions(tmp_path, row(candidate="no")), CropSettings())


def stamped(path, text):
    info = PngInfo()
    info.add_text("Comment", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(FILM).save(path, pnginfo=info)


def test_crops_of_other_names(tmp_path):
    out = tmp_path / "out"
    films = crops_by_film(predictions(tmp_path, row("s/a.png")), CropSettings())
    Image.fromarray(FILM).save(tmp_path / "a.png")
    write_crops(tmp_path / "a.png", films["s/a.png"], out, CropSettings())
    assert strangers(out, films) == []
    old = "hipdet crop, 6 16 28, own size, 8 bit, turned 0, inverted False"  # as the first version wrote it
    stamped(out / "s/a_left.png", old)
    stamped(out / "b_left.png", old)
    stamped(out / "by someone else.png", "a crop")
    Image.fromarray(FILM).save(out / "film.png")
    (out / "empty.png").write_bytes(b"")
    (out / "folder.png").mkdir()
    assert strangers(out, films) == ["b_left.png", "s/a_left.png"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("../a.png")], r"detection 1: film '\.\./a\.png' leads out of its folder"),
        ([row(), row("/etc/a.png")], r"detection 2: film '/etc/a\.png' leads out"),
        ([dict(image_id=1)], "detection 1: no file_name, expected a text"),
        ([3], "detection 1: found 3, expected an object: give predictions.json as hipdet predict wrote it"),
        ([None], "detection 1: found None, expected an object"),
        ([{**row(), "file_name": ["a.png"]}], "detection 1: file_name is .*, expected a text"),
        ([row(bbox=(1, 2, 3))], r"detection 1: bbox is \[1, 2, 3\], expected four numbers"),
        ([row(bbox=(1, 2, 3, None))], "bbox is .*, expected four numbers"),
        ([row(bbox=(1, 2, 3, 10**400))], "bbox is .*, expected four numbers"),
        ([row(bbox=(1, 2, 3, 0))], "expected .x, y, width, height. of a box that overlaps its film of 80x60 px"),
        ([row(bbox=(1, 2, 1e5, 1e5))], "bbox is .*, expected four numbers from -160 to 160"),
        ([row(bbox=(80, 2, 20, 20))], "expected .* of a box that overlaps its film"),
        ([row(bbox=(10, -20, 20, 20))], "expected .* of a box that overlaps its film"),
        ([{**row(), "width": None}], "width is None, expected a whole number from 1 to 20000"),
        ([{**row(), "height": 10**9}], "height is 1000000000, expected a whole number from 1 to 20000"),
        ([{**row(), "score": "high"}], "score is 'high', expected a number from 0 to 1"),
        ([{**row(), "turned": 45}], "turned is 45, expected one of 0, 90, 180, 270"),
        ([{**row(), "turned": []}], "turned is .., expected one of"),
        ([{**row(), "inverted": "no"}], "inverted is 'no', expected true or false"),
        ([{**row(), "patient_side": "../x"}], "patient_side is '../x', expected one of 'left', 'right', ''"),
        ([{**row(), "patient_side": None}], "patient_side is None"),
        ([{**row(), "picture_side": {}}], "picture_side is .., expected one of"),
        ([{**row(), "label": ""}], "detection 1: label is '', expected the name of a class"),
        ([{**row(), "label": 3}], "detection 1: label is 3"),
        ([{**row(), "label": "x" * 101}], "a text of at most 100 characters"),
        ([row("A.png"), row("a.PNG")], "two crops would be named a_hip_left.png"),
    ],
)
def test_bad_predictions(rows, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        crops_by_film(predictions(tmp_path, *rows), CropSettings())


def test_the_memory_of_a_crop_is_bounded(tmp_path):
    """A film of the largest size, and the widest margin: the crop would take 48 GB."""
    path = predictions(tmp_path, {**row(bbox=(0, 0, 20_000, 20_000)), "width": 20_000, "height": 20_000})
    with pytest.raises(DatasetError, match="detection 1: its crop would have 220000 px a side, expected at most 20000"):
        crops_by_film(path, CropSettings(margin=5))
    assert len(crops_by_film(path, CropSettings(margin=0))) == 1


@pytest.mark.parametrize("content", ["", "{}", "[", "[" * 10_000, '[{"score": NaN}]', None])
def test_no_predictions(content, tmp_path):
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(DatasetError, match=r"p\.json: (not JSON|detection: found|can't be read|nested too)"):
        crops_by_film(tmp_path / "p.json", CropSettings())


def test_crops_are_made_once(tmp_path):
    Image.fromarray(FILM).save(tmp_path / "a.png")
    path = predictions(tmp_path, row())

    def write(settings=CropSettings(depth=16)):  # noqa: B008  (frozen)
        write_crops(tmp_path / "a.png", crops_by_film(path, settings)["a.png"], tmp_path / "out", settings)
        crop = tmp_path / "out/a_hip_left.png"
        return crop.stat().st_ino, np.asarray(Image.open(crop))

    first, pixels = write()
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, FILM[16:44, 6:34] * np.uint16(257))
    assert write()[0] == first
    second, pixels = write(CropSettings())  # other settings
    assert second != first
    assert pixels.dtype == np.uint8
    Image.fromarray(FILM[:50]).save(tmp_path / "a.png")
    with pytest.raises(RadiographError, match="80x50 px, expected 80x60 px as predicted"):
        write(CropSettings(margin=0))


def test_tool(tmp_path):
    (tmp_path / "films").mkdir()
    Image.fromarray(FILM).save(tmp_path / "films/a.png")
    (tmp_path / "films/b.png").write_bytes(b"")
    path = predictions(tmp_path, row(), row(patient_side="right", bbox=(50, 30, 20, 20)), row("b.png"))
    done = run_tool("crop", path, "--data-root", "films", "--size", 14, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "b.png: empty file: copy or download the film again"
    assert done.stdout.startswith("2 crops of 1 films")
    rows = list(csv.DictReader((tmp_path / "crops/manifest.csv").open()))
    assert [each["crop"] for each in rows] == ["a_hip_left.png", "a_hip_right.png"]
    left = rows[0]
    assert [left[key] for key in ("film", "x0", "y0", "x1", "y1", "scale")] == ["a.png", "6", "16", "34", "44", "0.5"]
    assert Image.open(tmp_path / "crops/a_hip_left.png").size == (14, 14)
    assert "warning" not in done.stderr
    stamped(tmp_path / "crops/a_left.png", "hipdet crop, 6 16 28, 14, 8 bit, turned 0, inverted False")
    again = run_tool("crop", path, "--data-root", "films", "--size", 14, cwd=tmp_path)
    assert "warning: 1 crops in crops aren't of these predictions, such as a_left.png" in again.stderr
    assert (tmp_path / "crops/a_left.png").exists()
    wrong = run_tool("crop", path, "--data-root", "films", "--margin", -1, cwd=tmp_path)
    assert (wrong.returncode, "--margin -1.0" in wrong.stderr) == (2, True)
    (tmp_path / "films/a.png").unlink()
    assert run_tool("crop", path, "--data-root", "films", "--margin", 1, cwd=tmp_path).returncode == 2

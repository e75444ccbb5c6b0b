import pytest

from hipdet.core import versions as environment


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
            "mmcv-lite is 2.2.0, which mmdet 3.3.0 refuses",
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

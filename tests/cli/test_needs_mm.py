import pytest

from hipdet.cli.needs_mm import PACKAGES, require


def test_all_is_there():
    require()
    assert "mmdet" in PACKAGES


def test_what_is_missing_is_named(capsys):
    with pytest.raises(SystemExit) as end:
        require(("numpy", "no_such_package", "none_either"))
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: this tool needs no_such_package, none_either: pip install 'hipdet[mm]'\n"
    )

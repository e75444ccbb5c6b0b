"""Fixtures of these tests."""

import pytest
from dicom_objects import FILM, MAKER, dicom_film

from hipdet.inference.dicom_objects import read_source


@pytest.fixture
def made(tmp_path):
    """The file of an object of a film with such tags."""

    def make(kind="sr", film=FILM, maker=MAKER, **tags):
        (tmp_path / "film.dcm").write_bytes(dicom_film(**tags))
        path = tmp_path / f"made.{kind}.dcm"
        path.write_bytes(maker.make(kind, read_source(tmp_path / "film.dcm", film.name), film))
        return path

    return make

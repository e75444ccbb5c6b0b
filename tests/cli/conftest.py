"""Films and labels for hipdet fit."""

import pytest
from fit_plans import HEAD, make_films, rows

from film_sources import table, write


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("fit")
    make_films(root)
    return root


@pytest.fixture
def place(made, tmp_path):
    """A folder with 14 films and their labels."""
    (tmp_path / "films").mkdir()
    for path in (made / "films").iterdir():
        (tmp_path / "films" / path.name).hardlink_to(path)
    write(tmp_path / "labels.csv", table(HEAD, *rows()))
    return tmp_path

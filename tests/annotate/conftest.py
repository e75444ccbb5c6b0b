"""Shared by the tests of the annotation page."""

import pytest

from annotation_parts import films_in, served


@pytest.fixture
def desk(tmp_path, browser):
    """Three films, served: the page and the session."""
    from page_driver import Page  # selenium may be missing

    with served(films_in(tmp_path)) as (address, session):
        yield Page(browser, address), session
        browser.get("about:blank")

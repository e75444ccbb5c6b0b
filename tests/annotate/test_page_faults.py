"""The page where something fails: a full disk, labels or films that change or can't be read, a server that is killed."""

import errno
import json
import os
import shutil
import signal
from contextlib import suppress

import pytest

from annotation_parts import HIPS, film, films_in, kill, open_session, served, start_tool, state, until
from hipdet.data.validate.check import Expected, validate

pytest.importorskip("selenium")

from selenium.webdriver.common.keys import Keys

from page_driver import LEFT, RIGHT, Page, near, stored

pytestmark = pytest.mark.slow


def test_a_full_disk_is_shown_and_the_change_kept(desk, monkeypatch):
    page, session = desk

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    page.drag(LEFT, [60, 60])
    assert page.failure() == "not saved, trying again: annotator.journal: not stored: No space left on device"
    page.drag(RIGHT, [180, 60])
    assert len(page.boxes) == 2
    assert session.store.entry("1.png").revision == 0
    monkeypatch.undo()
    page.saved()
    assert stored(session, "1.png") == near(HIPS)


def test_labels_that_cannot_be_stored_any_more_are_shown_as_such(desk):
    """Another program has put a file in place of the folder of the labels."""
    page, session = desk
    page.drag(LEFT, [60, 60])
    page.saved()
    folder = session.store.files.coco.parent
    while not folder.is_file():  # a file may be written meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.write_text("")
    page.drag(RIGHT, [180, 60])
    assert page.failure().startswith(
        "not saved, trying again: annotator.journal: not stored: another program has deleted, replaced or changed the file, "
        "and it can't be written again: "
    )
    folder.unlink()
    page.saved()
    assert stored(session, "1.png") == near(HIPS)
    assert len((folder / "annotator.journal").read_text().splitlines()) == 1


def labelled_at(width, height):
    return f"Labelled at {width} \N{MULTIPLICATION SIGN} {height} px, and replaced by another film since."


def test_a_film_of_another_size_is_to_be_confirmed(tmp_path, browser):
    """Its boxes are shown; it isn't done until the annotator has looked at it."""
    films = films_in(tmp_path / "films", 2)
    session = open_session(films)
    session.change("1.png", state(HIPS))
    session.change("2.png", state(none=True))
    session.close()
    (films / "1.png").write_bytes(film(240, 150))
    with served(films) as (address, session):
        page = Page(browser, address)
        assert page.text("name") == "1.png"  # the only open one
        assert page.text("counts") == "1 done · 1 left"
        assert page.boxes == near(HIPS)
        assert page.text("hint").startswith(labelled_at(200, 120))
        page.keys("g")
        page.keys("replaced")
        assert page.text("films") == "1.png\nunchecked, replaced"
        page.keys(Keys.ENTER)  # opens it
        until(lambda: not browser.find_element("id", "list").is_displayed())
        page.shown("1.png")
        page.keys(Keys.ENTER)
        page.saved()
        assert page.text("counts") == "2 done · 0 left"
        entry = session.store.entry("1.png")
        assert (entry.size, entry.replaced, entry.state.status(2)) == ((240, 150), False, "done")
        browser.get("about:blank")


def test_a_film_that_is_replaced_meanwhile_is_shown_again(desk):
    """Though the browser has its picture; an exclusion is to be confirmed, too."""
    page, session = desk
    page.keys("x", "3")
    page.saved()
    assert page.text("counts") == "0 done · 1 excluded · 2 left"
    session.films.path("1.png").write_bytes(film(300, 200))
    page.keys("n")
    page.shown("2.png")
    page.keys("p")
    page.shown("1.png")
    assert page.browser.find_element("id", "film").get_attribute("width") == "300"
    assert page.text("hint") == f"{labelled_at(200, 120)} Press Enter if it is to stay excluded."
    assert page.text("counts") == "0 done · 1 excluded · 3 left"
    page.keys(Keys.ENTER)
    page.saved()
    assert session.store.entry("1.png").size == (300, 200)
    assert page.text("counts") == "0 done · 1 excluded · 2 left"


def test_a_film_that_cannot_be_read_is_shown_as_such(tmp_path, browser):
    films_in(tmp_path, 2)
    (tmp_path / "1.png").write_bytes(b"no film")
    with served(tmp_path) as (address, _):
        browser.get(address)
        page = Page(browser)
        until(lambda: "This film can't be read" in page.text("message"))
        assert "not a JPEG, PNG, TIFF, BMP, GIF, WEBP or DICOM film" in page.text("message")
        assert page.text("counts") == "0 done · 1 left · 1 unreadable"
        assert page.next("n") == "2.png"
        browser.get("about:blank")


def test_kill_and_reopen(tmp_path, browser):
    """Open, draw two squares, adjust by key, next, reload, kill the server, reopen: the labels are there, and valid."""
    films = films_in(tmp_path / "films")
    process, address = start_tool(films, "--annotator", "alice")
    try:
        page = Page(browser, address)
        page.drag(LEFT, [60, 60])
        page.drag(RIGHT, [180, 60])
        page.keys(Keys.ARROW_UP)
        page.next()
        page.keys("u")
        page.saved()
        browser.refresh()
        assert page.shown() == "2.png"  # the film that was open
        page.keys("p")
        page.shown("1.png")
        boxes = page.boxes
        assert boxes == near([HIPS[0], [140, 39, 180, 79]])
    finally:
        kill(process)
    page.drag(LEFT, [45, 60])  # while no server listens
    assert "no answer: is hipdet annotate still running?" in page.failure()
    process, again = start_tool(films, "--annotator", "alice", "--port", address.split(":")[2].split("/")[0])
    try:
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        other = Page(browser, again)  # its cookie admits the first tab too
        other.keys("p")
        browser.close()
        browser.switch_to.window(first)
        page.saved()
        browser.get(again)
        page.keys("g")
        page.keys("1.png", Keys.ENTER)
        page.shown("1.png")
        assert page.boxes == near([[25, 40, 65, 80], boxes[1]])
        browser.get("about:blank")
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)
        assert (process.returncode, said[1]) == (0, "")
        assert "1 done, 2 new" in said[0]
    finally:
        if process.poll() is None:
            kill(process)
    coco, faults = validate(films / "labels/alice.json", films, Expected.of_classes(["hip"]))
    assert faults == []
    assert [image["file_name"] for image in coco["images"]] == ["1.png"]
    lines = (films / "labels/alice.journal").read_text().splitlines()
    assert [json.loads(line)["film"] for line in lines] == ["1.png"] * 3 + ["2.png"] + ["1.png"]

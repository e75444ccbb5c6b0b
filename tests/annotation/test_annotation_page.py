"""The page in a real browser: what the annotator does, and what is stored then."""

import numpy as np
import pytest

from annotation_parts import HIPS, until
from browser import complaints_of, requests_of

pytest.importorskip("selenium")

from selenium.webdriver.common.keys import Keys

from page_driver import LEFT, RIGHT, near, stored

pytestmark = pytest.mark.slow


def test_two_hips_in_two_drags_and_one_key(desk):
    """The shortest way: 2 mouse actions, where the paper's tool would take 4 clicks, and 1 key."""
    page, session = desk
    requests_of(page.browser), complaints_of(page.browser)
    page.drag(LEFT, [60, 60])
    page.drag(RIGHT, [165, 80])  # the farther edge counts: always a square
    assert page.next() == "2.png"
    page.saved()
    assert stored(session, "1.png") == near(HIPS)
    assert session.store.entry("1.png").state.status(2) == "done"
    assert {address.split("/")[2].split(":")[0] for address in requests_of(page.browser)} <= {"127.0.0.1"}
    assert complaints_of(page.browser) == []


def test_two_hips_in_four_clicks_and_one_key(desk):
    page, session = desk
    for centre, rim in ((LEFT, [60, 60]), (RIGHT, [160, 40])):
        page.click_at(centre)
        page.click_at(rim)
    page.next()
    page.saved()
    assert stored(session, "1.png") == near(HIPS)


def test_squares_are_moved_resized_and_deleted_by_mouse_and_key(desk):
    page, session = desk
    page.drag(LEFT, [60, 60])
    page.drag([45, 65], [55, 60])  # inside: moved by (10, -5)
    page.saved()
    assert stored(session, "1.png") == near([[30, 35, 70, 75]])
    page.drag([70, 75], [80, 85])  # a corner: the opposite one stays
    page.saved()
    assert stored(session, "1.png") == near([[30, 35, 80, 85]])
    before = stored(session, "1.png")[0]
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, "+")
    page.chord(Keys.SHIFT, Keys.ARROW_LEFT)
    page.saved()
    dx = np.array([-9 - 1, 2 - 1, -9 + 1, 2 + 1])  # moved by (1 - 10, 2), 2 px larger
    until(lambda: stored(session, "1.png") == near([np.add(before, dx).tolist()], 0.02))
    page.keys(Keys.DELETE)
    until(lambda: stored(session, "1.png") == [])
    assert session.store.entry("1.png").state.status(2) == "new"


def test_undo_and_redo(desk):
    page, session = desk
    page.drag(LEFT, [60, 60])
    page.drag(RIGHT, [180, 60])
    page.keys("u")
    for _ in range(2):
        page.chord(Keys.CONTROL, "z")
    until(lambda: len(stored(session, "1.png")) == 1)
    assert not session.store.entry("1.png").state.unsure
    page.chord(Keys.CONTROL, "y")
    page.chord(Keys.CONTROL, Keys.SHIFT, "z")
    until(lambda: len(stored(session, "1.png")) == 2 and session.store.entry("1.png").state.unsure)


def test_a_complete_film_takes_no_further_square(desk):
    page, _ = desk
    page.drag(LEFT, [60, 60])
    page.drag(RIGHT, [180, 60])
    page.drag([100, 20], [110, 30])
    assert page.text("toast") == "This film has its 2 ROIs: drag one, or delete one first (Del)"
    assert len(page.boxes) == 2


def test_exclusion_with_a_reason_and_back(desk):
    page, session = desk
    page.keys("x")
    page.keys("3")
    until(lambda: session.store.entry("1.png").state.exclude == "child")
    assert page.text("counts") == "0 done · 1 excluded · 2 left"
    page.keys("x")
    until(lambda: session.store.entry("1.png").state.exclude is None)
    page.keys("x")
    page.click("other-reason")
    page.keys("lead, apron", Keys.ENTER)
    until(lambda: session.store.entry("1.png").state.exclude == "other: lead, apron")


def test_that_there_is_no_roi_takes_one_key(desk):
    page, session = desk
    page.keys("e")
    page.saved()
    assert session.store.entry("1.png").state.status(2) == "done"
    assert page.text("counts") == "1 done · 2 left"
    assert page.text("roi-count") == "none"
    assert page.text("hint") == "There is no ROI on this film. Enter goes on; E takes that back."
    assert page.text("rois") == ""  # no ROI is asked for
    page.keys("e")
    until(lambda: session.store.entry("1.png").state.status(2) == "new")
    page.chord(Keys.CONTROL, "z")
    until(lambda: session.store.entry("1.png").state.none)
    assert page.next() == "2.png"
    page.click("none")  # the button does the same
    page.saved()
    page.drag(LEFT, [60, 60])  # there is one after all
    page.saved()
    assert session.store.entry("2.png").state.status(2) == "incomplete"
    page.keys("e")  # squares aren't lost by a slip
    assert page.text("toast") == "This film has squares: delete them first (Del)"
    assert stored(session, "2.png") == near(HIPS[:1])
    page.keys(Keys.DELETE, "e")
    until(lambda: session.store.entry("2.png").state.none)
    page.browser.refresh()
    assert page.shown("2.png")
    assert page.text("roi-count") == "none"
    assert page.next() == "3.png"  # the only open one


def test_every_key_is_explained(desk):
    page, _ = desk
    page.keys("?")
    keys = page.text("key-table")
    for word in (
        "next film",
        "previous film",
        "delete",
        "undo",
        "redo",
        "no ROI",
        "exclude",
        "unsure",
        "invert",
        "class",
    ):
        assert word in keys
    page.keys(Keys.ESCAPE)
    assert not page.browser.find_element("id", "help").is_displayed()


def test_the_list_finds_films_by_name_and_status(desk):
    page, _ = desk
    page.keys("u")
    page.saved()
    page.keys("g")
    page.keys("unsure")
    assert page.text("films") == "1.png\nnew, unsure"
    page.browser.find_element("id", "filter").clear()
    page.click("filter")
    page.keys("3", Keys.ENTER)
    assert page.shown("3.png")


@pytest.mark.parametrize("ratio", [1, 2])
def test_zoom_and_screen_make_no_difference(desk, ratio):
    """The same places of the film, clicked at three zooms, on screens of one and two pixels per CSS pixel."""
    page, session = desk
    metrics = {"width": 1280, "height": 900, "deviceScaleFactor": ratio, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        scales = []
        for notches in (0, -3, 6):
            page.wheel([70, 70], notches) if notches else page.keys("f")
            scales.append(until(lambda: page.scale))
            page.drag([60, 70], [80, 75])
            page.saved()
            assert stored(session, "1.png") == near([[40, 50, 80, 90]])
            page.keys(Keys.DELETE)
            until(lambda: stored(session, "1.png") == [])
        assert len({round(scale, 2) for scale in scales}) == 3
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_panning_keeps_places(desk):
    page, session = desk
    page.wheel([100, 60], -5)
    page.keys(" ")  # released at once: no pan
    page.browser.execute_script("dispatchEvent(new KeyboardEvent('keydown', {key: ' '}))")
    before = page.to_window([100, 60])
    page.pointer([100, 60], "down", [90, 60], "up")
    page.browser.execute_script("dispatchEvent(new KeyboardEvent('keyup', {key: ' '}))")
    assert page.to_window([100, 60])[0] < before[0]
    page.drag([100, 60], [110, 60])
    page.saved()
    assert stored(session, "1.png") == near([[90, 50, 110, 70]])


def test_light_changes_the_picture_only(desk):
    page, session = desk
    page.keys("i", "b", "c")
    style = page.browser.find_element("id", "film").get_attribute("style")
    assert style == "filter: invert(1) brightness(110%) contrast(110%);"
    assert session.store.entry("1.png").revision == 0

"""The page in a real browser: what the annotator does, and what is stored.

Unusual films, proposals, and that nothing is lost between tabs.
"""

from urllib.parse import quote

import numpy as np
import pytest

from annotation_parts import HIPS, detector, film, films_in, served, until
from browser import complaints_of, requests_of
from hipdet.annotate.film_state import Project

pytest.importorskip("selenium")

from selenium.webdriver.common.keys import Keys

from page_driver import LEFT, RIGHT, Page, near, stored

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


def test_a_hip_that_the_edge_cuts_is_marked_and_counts_as_drawn(desk):
    page, session = desk
    page.drag(LEFT, [60, 60])
    page.drag(RIGHT, [180, 60])
    page.keys("k")
    until(lambda: [roi.cut for roi in session.store.entry("1.png").state.rois] == [False, True])
    assert session.store.entry("1.png").state.status(2) == "done"
    assert page.text("rois").count("cut") == 1
    page.chord(Keys.CONTROL, "z")
    until(lambda: [roi.cut for roi in session.store.entry("1.png").state.rois] == [False, False])


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
    assert page.text("toast") == "This film already has its 2 ROIs: drag one, or delete one first (Del)"
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


def test_one_key_marks_a_film_without_roi(desk):
    page, session = desk
    page.keys("e")
    page.saved()
    assert session.store.entry("1.png").state.status(2) == "done"
    assert page.text("counts") == "1 done · 2 left"
    assert page.text("roi-count") == "none"
    assert page.text("hint") == "This film has no ROI. Enter goes on; E undoes that."
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
    page.keys("e")  # boxes aren't lost by a slip
    assert page.text("toast") == "This film has boxes: delete them first (Del)"
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


def test_films_that_exif_rotates_have_upright_boxes(tmp_path, browser):
    (tmp_path / "1.jpg").write_bytes(film(120, 200, kind="JPEG", orientation=6))
    with served(tmp_path) as (address, session):
        page = Page(browser, address)
        page.drag(LEFT, [60, 60])
        page.drag([180, 60], [195, 60])  # beyond the 120 px that are stored
        page.saved()
        assert stored(session, "1.jpg") == near([HIPS[0], [165, 45, 195, 75]])
        assert session.store.entry("1.jpg").size == (200, 120)
        browser.get("about:blank")


def test_right_proposals_take_no_mouse_at_all(tmp_path, browser):
    doubtful = detector(flags=lambda path: ("low_score",) if path.name == "3.png" else ())
    with served(films_in(tmp_path), detect=doubtful) as (address, session):
        until(lambda: not session.proposals.running)
        page = Page(browser, address)
        assert page.text("name") == "3.png"  # the most doubtful one
        assert page.boxes == HIPS
        assert page.text("flags") == "Check: low score"
        assert session.store.entry("3.png").revision == 0  # a proposal is no label
        assert page.next() == "1.png"
        page.drag(RIGHT, [155, 60])  # the second one is corrected: both are labels now
        assert page.next() == "2.png"
        page.keys(Keys.ENTER)
        until(lambda: "All films are done. The labels are in annotator.json" in page.text("toast"))
        page.saved()
        assert stored(session, "3.png") == stored(session, "2.png") == HIPS
        assert stored(session, "1.png") == near([HIPS[0], [135, 40, 175, 80]])
        assert [session.store.entry(name).state.status(2) for name in ("1.png", "2.png", "3.png")] == ["done"] * 3
        browser.get("about:blank")


def test_a_candidate_is_shown_as_such(tmp_path, browser):
    """Dotted and named; deleted like any box, after which the other one is a label."""
    with served(films_in(tmp_path, 1), detect=detector(candidates=1, flags=lambda path: ("candidates",))) as served_at:
        address, session = served_at
        until(lambda: not session.proposals.running)
        page = Page(browser, address)
        assert page.boxes == HIPS
        dotted = browser.find_elements("css selector", ".box.candidate")
        assert [box.get_attribute("x") for box in dotted] == [f"{HIPS[1][0]:g}"]
        assert "candidate 0.80" in page.text("rois")
        assert "only a candidate" in page.text("hint")
        assert page.text("flags") == "Check: candidates"
        browser.find_elements("css selector", "#boxes .centre")[1].click()
        page.keys(Keys.DELETE)
        until(lambda: page.boxes == HIPS[:1])
        page.saved()
        assert stored(session, "1.png") == HIPS[:1]
        browser.get("about:blank")


def test_proposals_on_a_film_without_roi_are_rejected_by_one_key(tmp_path, browser):
    with served(films_in(tmp_path, 2), detect=detector()) as (address, session):
        until(lambda: not session.proposals.running)
        page = Page(browser, address)
        assert page.boxes == HIPS
        page.keys("e")
        page.saved()
        assert page.boxes == []
        state = session.store.entry("1.png").state
        assert (state.none, state.rois, state.status(2)) == (True, (), "done")
        page.keys("e")  # undone: an empty film to draw on, as the model was wrong
        until(lambda: session.store.entry("1.png").state.status(2) == "new")
        assert page.boxes == []
        page.chord(Keys.CONTROL, "z")
        page.chord(Keys.CONTROL, "z")
        until(lambda: page.boxes == HIPS)  # as it was found
        until(lambda: session.store.entry("1.png").state.status(2) == "new")
        page.chord(Keys.CONTROL, "y")
        until(lambda: session.store.entry("1.png").state.none)
        browser.get("about:blank")


def test_a_deleted_proposal_comes_back_only_by_undo(tmp_path, browser):
    with served(films_in(tmp_path, 1), detect=detector()) as (address, session):
        page = Page(browser, address)
        until(lambda: len(page.boxes) == 2)  # it may come while the film is seen
        page.keys(Keys.DELETE, Keys.DELETE)
        until(lambda: session.store.entry("1.png").revision == 2)
        assert page.boxes == []
        page.chord(Keys.CONTROL, "z")
        page.chord(Keys.CONTROL, "z")
        assert page.boxes == HIPS
        page.saved()
        assert session.store.entry("1.png").state.status(2) == "new"
        browser.get("about:blank")


def test_free_shapes_and_classes(tmp_path, browser):
    with served(films_in(tmp_path, 1), project=Project(("heart", "lung"), 3, free_shape=True)) as (address, session):
        page = Page(browser, address)
        page.drag([20, 20], [60, 90])
        page.keys("2")
        page.drag([100, 90], [150, 20])  # from any corner
        page.saved()
        rois = [(roi.label, list(roi.box)) for roi in session.store.entry("1.png").state.rois]
        # the key changed the first, which was selected, too
        assert rois == [("lung", *near([[20, 20, 60, 90]])), ("lung", *near([[100, 20, 150, 90]]))]
        assert session.store.entry("1.png").state.status(3) == "incomplete"
        browser.get("about:blank")


def test_two_tabs_on_one_film(desk):
    """The later one gets a question; nothing is lost until it is answered."""
    page, session = desk
    first = page.browser.current_window_handle
    address = page.browser.current_url
    page.browser.switch_to.new_window("tab")
    try:
        other = Page(page.browser, address.partition("#")[0])
        page.browser.switch_to.window(first)
        page.drag(LEFT, [60, 60])
        page.saved()
        page.browser.switch_to.window(page.browser.window_handles[-1])
        other.drag(RIGHT, [180, 60])
        assert other.failure() == "not saved: changed elsewhere"
        until(lambda: other.browser.find_element("id", "conflict").is_displayed())
        assert "1.png: saved there: 1 box; here: 1 box" in other.text("conflict-text")
        other.keys(Keys.ENTER, Keys.ESCAPE, Keys.ESCAPE)  # these keys decide nothing
        assert other.browser.find_element("id", "conflict").is_displayed()
        assert stored(session, "1.png") == near(HIPS[:1])
        other.click("keep-mine")
        other.saved()
        assert stored(session, "1.png") == near(HIPS[1:])
        page.browser.switch_to.window(first)
        page.drag([100, 100], [105, 100])
        page.failure()
        until(lambda: page.browser.find_element("id", "conflict").is_displayed())
        page.click("take-theirs")
        until(lambda: page.boxes == near(HIPS[1:]))
        assert stored(session, "1.png") == near(HIPS[1:])
    finally:
        for handle in page.browser.window_handles:
            page.browser.switch_to.window(handle)
            if handle != first:
                page.browser.get("about:blank")
                page.browser.close()
        page.browser.switch_to.window(first)


def test_a_link_of_a_report_opens_a_film(tmp_path, browser):
    """From a file, which is another site, in a new tab; then by the address of that tab."""
    folder = films_in(tmp_path / "films")
    odd = folder / "50% a+b & #1.png"
    (folder / "2.png").rename(odd)
    with served(folder) as (address, _):
        Page(browser, address)
        first = browser.current_window_handle
        place = f"{address.partition('?')[0]}#{quote(odd.name, safe='')}"
        (tmp_path / "report.html").write_text(f'<a id="film" href="{place}" target="_blank" rel="noreferrer">film</a>')
        browser.get((tmp_path / "report.html").as_uri())
        browser.find_element("id", "film").click()
        until(lambda: len(browser.window_handles) == 2)
        browser.switch_to.window(browser.window_handles[-1])
        try:
            page = Page(browser)
            assert page.shown() == odd.name
            browser.execute_script("location.hash = '3.png'")
            page.shown("3.png")
            browser.execute_script("location.hash = '%'")
            browser.execute_script("location.hash = 'none.png'")
            assert page.shown("3.png")
        finally:
            browser.get("about:blank")
            browser.close()
            browser.switch_to.window(first)
            browser.get("about:blank")

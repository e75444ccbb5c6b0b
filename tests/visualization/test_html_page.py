"""The page in a real browser: what it shows, what it requests, what its policy admits.

Requests and console errors of the browser are recorded.
"""

from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from browser import complaints_of, requests_of
from hipdet.core.errors import DatasetError, RadiographError
from hipdet.visualization.html_page import write_page
from hipdet.visualization.tiles import Mark, PicturedFilm
from roi_tables import write_films

EVIL = "<img src=x onerror=alert(1)></script><script>document.title='owned'</script>{side}\u2028'\"&"
MARKS = (Mark((10, 10, 50, 50), False, "0.40 (0.50)"), Mark((20, 20, 60, 60), True))
FILMS = [
    PicturedFilm("1.png", "oaih", MARKS, 0.4, 0.5, ("missed", "extra"), ("a note",)),
    PicturedFilm("2.png", "cgoa", MARKS, 0.9, 0.3),
    PicturedFilm("3.png", "oaih", MARKS, 0.7, 0.9, ("extra",)),
    PicturedFilm("10.png", "gis", (Mark((0, 0, 10, 10), True, "0.80"),), None, 0.8),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = write_films(tmp_path_factory.mktemp("page"), 10)
    Image.fromarray(np.zeros((600, 300), np.uint8)).save(folder / "2.png")
    write_page(FILMS, folder, folder / "page.html", EVIL, side=150)
    return folder / "page.html"


@pytest.fixture
def opened(browser, page):
    requests_of(browser), complaints_of(browser)
    browser.get(page.as_uri())
    yield browser
    # nothing leaves the page, and nothing that its policy refuses is in it
    assert requests_of(browser) == [page.as_uri()]
    assert complaints_of(browser) == []


def ask(browser, script):
    return browser.execute_script(f"const at = id => document.getElementById(id); return {script}")


def names(browser):
    return ask(browser, "[...document.querySelectorAll('.card .name')].map(name => name.textContent)")


def choose(browser, name, value):
    browser.execute_script(
        "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', { bubbles: true }));",
        name, value,
    )  # fmt: skip


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def test_films_as_written_with_their_boxes(opened):
    assert names(opened) == ["1.png", "2.png", "3.png", "10.png"]
    assert ask(opened, "at('count').textContent") == "4 films"
    card = "document.querySelector('.card')"
    assert ask(opened, f"{card}.querySelector('.more').textContent") == "IoU 0.40 · score 0.50 · oaih · missed · extra"
    assert ask(opened, f"{card}.querySelector('.figure').textContent") == "0.40 (0.50)"
    colours = ask(opened, f"[...{card}.querySelectorAll('rect')].map(rect => getComputedStyle(rect).stroke)")
    assert colours == ["rgb(255, 212, 0)", "rgb(255, 32, 32)"]
    # the label 10..50 of 100 px lies at a tenth to a half of the picture, wherever that is
    share = f"""(() => {{ const inner = {card}.querySelector('rect').getBoundingClientRect(),
        outer = {card}.querySelector('img').getBoundingClientRect();
        return [(inner.left - outer.left) / outer.width, (inner.right - outer.left) / outer.width]; }})()"""
    assert ask(opened, share) == pytest.approx([0.1, 0.5], abs=0.01)


def test_pictures_are_bounded_and_decoded(opened):
    opened.execute_async_script(
        "const done = arguments[0]; Promise.all([...document.images].map(image => image.decode())).then(() => done());"
    )
    sizes = ask(opened, "[...document.images].map(image => [image.naturalWidth, image.naturalHeight])")
    assert sizes == [[100, 50], [75, 150], [100, 50], [100, 50]]  # 300x600 was shrunk, the others are smaller than 150


def test_text_of_files_is_text(opened):
    assert opened.title == EVIL
    assert ask(opened, "document.querySelector('h1').textContent") == EVIL
    assert ask(opened, "document.querySelectorAll('h1 *').length") == 0


def test_the_policy_holds(browser, page):
    """Even a script that got in could send nothing away."""
    browser.get(page.as_uri())
    requests_of(browser), complaints_of(browser)
    outcome = browser.execute_async_script(
        "const done = arguments[0]; const image = new Image(); image.src = 'http://127.0.0.1:9/a.png';"
        "fetch('http://127.0.0.1:9/b').then(() => done('sent'), () => done('refused'));"
    )
    assert outcome == "refused"
    assert len([text for text in complaints_of(browser) if "Content Security Policy" in text]) >= 2


def test_sorting(opened):
    order = {
        "iou": ["1.png", "3.png", "2.png", "10.png"],  # what has none comes last
        "score": ["2.png", "1.png", "10.png", "3.png"],
        "name": ["1.png", "2.png", "3.png", "10.png"],  # by number
        "roi": ["2.png", "10.png", "1.png", "3.png"],  # 40 of 600 px, 10 of 100, 40 of 100
        "pixels": ["1.png", "3.png", "10.png", "2.png"],
    }
    for key, expected in order.items():
        choose(opened, "sort", key)
        assert names(opened) == expected, key
    choose(opened, "sort", "iou")
    ask(opened, "at('turn').click()")
    assert names(opened) == ["2.png", "3.png", "1.png", "10.png"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("source", "=oaih", ["1.png", "3.png"]),
        ("flag", "=extra", ["1.png", "3.png"]),
        ("flag", " ", ["2.png", "10.png"]),  # none
        ("high", "0.7", ["1.png", "3.png"]),
        ("low", "0.5", ["2.png", "3.png"]),
        ("high", "", ["1.png", "2.png", "3.png", "10.png"]),
        ("text", "NOTE", ["1.png"]),
        ("text", "cgoa", ["2.png"]),
        ("text", "nowhere", []),
    ],
)
def test_filters(opened, field, value, expected):
    choose(opened, field, value)
    assert names(opened) == expected
    found = f"{len(expected)} of 4 films" if len(expected) < 4 else "4 films"
    assert ask(opened, "at('count').textContent") == found


def test_groups_and_switches(opened):
    ask(opened, "at('group').click()")
    headings = ask(opened, "[...document.querySelectorAll('main > h2')].map(heading => heading.textContent)")
    assert headings == ["cgoa", "gis", "oaih"]
    assert names(opened) == ["2.png", "10.png", "1.png", "3.png"]
    visible = "getComputedStyle(document.querySelector('.card {}')).display !== 'none'"
    assert ask(opened, visible.format("svg"))
    press(opened, "f")
    assert ask(opened, visible.format("svg"))
    assert not ask(opened, visible.format(".figure"))
    press(opened, "b")
    assert not ask(opened, visible.format("svg"))


def test_large_view_by_mouse_and_keys(opened):
    from selenium.webdriver.common.keys import Keys

    choose(opened, "source", "=oaih")
    opened.find_element("css selector", ".card").click()
    title = "at('view').open && at('view').querySelector('h2').textContent"
    assert ask(opened, title) == "1.png"
    facts = ask(opened, "at('view').querySelector('.facts').textContent")
    assert facts.startswith("1 of 2 · IoU 0.40")
    assert facts.endswith("100 x 50 px · ROIs 40.0% of the long side")
    assert ask(opened, "at('view').querySelector('.notes').textContent") == "a note"
    # as wide as the window lets it
    wide, narrow = ask(opened, "['#view .frame', '.card .frame'].map(it => document.querySelector(it).clientWidth)")
    assert wide > 2 * narrow
    press(opened, Keys.ARROW_RIGHT)
    assert ask(opened, title) == "3.png"
    press(opened, Keys.ARROW_RIGHT)  # there are no more
    assert ask(opened, title) == "3.png"
    press(opened, Keys.ARROW_LEFT, Keys.ESCAPE)
    assert ask(opened, title) is False
    assert ask(opened, "document.activeElement.title") == "1.png"
    press(opened, Keys.ARROW_RIGHT)  # now from card to card
    assert ask(opened, "document.activeElement.title") == "3.png"
    press(opened, "/", "cg")
    assert ask(opened, "at('text').value") == "cg"


def test_films_that_can_not_be_read(browser, tmp_path):
    films = [PicturedFilm(EVIL, EVIL, flags=(EVIL,), notes=(EVIL,)), PicturedFilm("../1.png")]
    write_films(tmp_path)
    write_page(films, tmp_path, tmp_path / "page.html", "t", strict=False)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 3  # of two films and the page's own
    assert str(tmp_path) not in text
    browser.get((tmp_path / "page.html").as_uri())
    assert ask(browser, "[...document.querySelectorAll('.unread')].length") == 2
    assert ask(browser, "document.querySelectorAll('.card img').length") == 0
    assert browser.title == "t"
    opened = "document.querySelector('.card').click(), at('view').querySelector('.notes').innerText"
    assert "has control characters or is too long" in ask(browser, f"({opened})")
    assert complaints_of(browser) == []


def test_many_films_are_light(browser, tmp_path):
    """Cards far from the window hold no picture."""
    write_films(tmp_path)
    write_page([PicturedFilm("1.png")] * 600, tmp_path, tmp_path / "page.html", "t")
    browser.get((tmp_path / "page.html").as_uri())
    assert len(names(browser)) == 600
    assert 0 < ask(browser, "document.querySelectorAll('.card img').length") < 100
    there = "document.querySelector('.card:last-child img') !== null"
    assert not ask(browser, there)
    browser.execute_async_script("const done = arguments[0]; scrollTo(0, 1e6); setTimeout(done, 300);")
    assert ask(browser, there)
    assert ask(browser, "document.querySelectorAll('.card img').length") < 100


def test_the_same_twice_and_nothing_half_written(tmp_path):
    write_films(tmp_path)
    for name in "ab":
        write_page(FILMS[:3], tmp_path, tmp_path / f"{name}.html", "t")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    with pytest.raises(RadiographError, match=r"10\.png"):
        write_page(FILMS, tmp_path, tmp_path / "c.html", "t")
    with pytest.raises(DatasetError, match="no film to draw"):
        write_page([], tmp_path, tmp_path / "c.html", "t")
    assert not (tmp_path / "c.html").exists()


LINK = "http://127.0.0.1:9/away.png"


def test_requests_and_complaints_are_seen(browser):
    browser.get("about:blank")
    requests_of(browser), complaints_of(browser)
    browser.get("data:text/html," + quote("<p>quiet<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"))
    assert requests_of(browser) == []
    browser.get("data:text/html," + quote(f"<img src='{LINK}'><script>throw Error('loud')</script>"))
    assert requests_of(browser) == [LINK]
    assert any("loud" in complaint for complaint in complaints_of(browser))

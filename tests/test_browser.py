"""The browser itself: what it asks for and complains of is seen."""

from urllib.parse import quote

from browser import complaints_of, requests_of

LINK = "http://127.0.0.1:9/away.png"


def test_requests_and_complaints_are_seen(browser):
    browser.get("about:blank")
    requests_of(browser), complaints_of(browser)
    browser.get("data:text/html," + quote("<p>quiet<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"))
    assert requests_of(browser) == []
    browser.get("data:text/html," + quote(f"<img src='{LINK}'><script>throw Error('loud')</script>"))
    assert requests_of(browser) == [LINK]
    assert any("loud" in complaint for complaint in complaints_of(browser))

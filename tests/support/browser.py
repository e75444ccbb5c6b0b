"""A real browser for the tests of pages: headless Chromium, driven by selenium."""

import json
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def start_browser():
    """Headless Chromium that logs every request; skips the test if there is no Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: pip install 'hipdet[test]'")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no chromium and chromedriver on PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def requests_of(browser):
    """Addresses that pages have requested since the last call, except pictures inside the page (data:, blob:)."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [address for address in asked if not address.startswith(("data:", "blob:"))]


def complaints_of(browser):
    """Errors and warnings of the console since the last call: scripts that failed, content that CSP refused."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

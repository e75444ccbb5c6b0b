"""The annotation page in a real browser, in pixels of the film."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from annotation_parts import until

# position of the stage in the window, film coordinates of its upper left corner, screen pixels per film pixel
PLACE = """
const stage = document.getElementById("stage"), at = stage.getBoundingClientRect(), seen = stage.viewBox.baseVal;
return [at.left, at.top, seen.x, seen.y, at.width / seen.width];
"""
BOXES = """
return [...document.querySelectorAll("#boxes .box:not(.draft)")].map((box) => {
  const [x, y, w, h] = ["x", "y", "width", "height"].map((key) => Number(box.getAttribute(key)));
  return [x, y, x + w, y + h];
});
"""
SHOWN = """
return document.querySelector("#film").hasAttribute("href") && !document.querySelector("#stage.busy")
    && document.querySelector("#message").hidden ? document.querySelector("#name").textContent : null;
"""


class Page:
    """A browser tab with the page."""

    def __init__(self, browser, address=None):
        self.browser = browser
        if address:
            browser.get(address)
            self.shown()

    def shown(self, name=None):
        """Wait until a film is shown, or the film `name`."""
        return until(lambda: (found := self.browser.execute_script(SHOWN)) and name in (None, found) and found)

    def text(self, element):
        return self.browser.find_element("id", element).text

    def click(self, element):
        self.browser.find_element("id", element).click()

    def keys(self, *keys):
        chain = ActionChains(self.browser, duration=0)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def chord(self, *keys):
        """Press the last of `keys` while the others are held."""
        chain = ActionChains(self.browser, duration=0)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()

    @property
    def boxes(self):
        return self.browser.execute_script(BOXES)

    @property
    def scale(self):
        return self.browser.execute_script(PLACE)[4]

    def to_window(self, point):
        left, top, x, y, scale = self.browser.execute_script(PLACE)
        return round(left + (point[0] - x) * scale), round(top + (point[1] - y) * scale)

    def pointer(self, *steps):
        """Move the pointer; a step is "down", "up", or a point of the film."""
        chain = ActionChains(self.browser, duration=0)
        mouse = chain.w3c_actions.pointer_action
        for step in steps:
            if step == "down":
                mouse.pointer_down()
            elif step == "up":
                mouse.pointer_up()
            else:
                mouse.move_to_location(*self.to_window(step))
        chain.w3c_actions.perform()

    def drag(self, start, end):
        """One mouse action: press, drag, release."""
        middle = [(a + b) / 2 for a, b in zip(start, end)]
        self.pointer(start, "down", middle, end, "up")

    def click_at(self, point):
        """One mouse action: a click."""
        self.pointer(point, "down", "up")

    def wheel(self, point, notches):
        x, y = self.to_window(point)
        wheel = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": notches * 100}
        self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)

    def saved(self):
        """Wait until everything is stored."""
        until(lambda: self.browser.find_element("id", "saving").get_attribute("data-state") == "saved")

    def failure(self):
        """Wait for the message about a change that isn't stored."""
        saving = self.browser.find_element("id", "saving")
        return until(lambda: saving.get_attribute("data-state") == "error" and saving.text)

    def next(self, key=Keys.ENTER):
        before = self.text("name")
        self.keys(key)
        until(lambda: self.text("name") != before)
        return self.shown()


LEFT, RIGHT = [40, 60], [160, 60]  # centres of HIPS, 20 px from their edges


def near(boxes, tolerance=0.5):
    return [pytest.approx(box, abs=tolerance) for box in boxes]


def stored(session, name):
    return [list(roi.box) for roi in session.store.entry(name).state.rois]

"""Grey films with a bright disc in each label, for tests of odd films."""

import numpy as np

WIDE, HIGH = 400, 320
SPOTS = np.array([[60.0, 130, 120, 190], [270, 140, 330, 200]])  # about (90, 160) and (300, 170)


def spotted(spots=SPOTS):
    """A grey film with a brighter disc in the middle of each label, a third as wide."""
    y, x = np.mgrid[:HIGH, :WIDE] + 0.5
    film = np.full((HIGH, WIDE), 40.0)
    for x0, y0, x1, y1 in spots:
        film[np.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2) < (x1 - x0) / 6] = 120
    return film.astype(np.uint8)

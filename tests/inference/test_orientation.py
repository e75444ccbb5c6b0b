"""Films that are rotated, upside down or inverted: what is read, by what the orientation head answers."""

import numpy as np
import pytest

from hipdet.core.boxes import as_boxes
from hipdet.inference.detections import FilmDetections
from hipdet.inference.orientation import upright


def answered(answers):
    """What `upright` chooses, and what it read; `answers` ``[5]`` of the head by version ``(quarters, inverted)``."""
    looks = []

    def look(quarters, inverted):
        looks.append((quarters, inverted))
        empty = as_boxes([]), np.zeros(0), np.zeros(0, np.int64)
        return FilmDetections(*empty, 40, 30, quarters, inverted, np.array(answers[quarters, inverted]))

    found = upright(look)
    return (found.quarters, found.inverted), looks


SURE = [0.97, 0.01, 0.01, 0.01, 0.01]


@pytest.mark.parametrize(
    ("answers", "expected", "reads"),
    [
        ({(0, False): SURE}, (0, False), 1),
        ({(0, False): [0.4, 0.1, 0.4, 0.1, 0.4]}, (0, False), 1),  # unsure: films are upright
        ({(0, False): [0.01, 0.97, 0.01, 0.01, 0.01], (1, False): SURE}, (1, False), 2),
        ({(0, False): [0.01, 0.01, 0.97, 0.01, 0.99], (2, True): SURE}, (2, True), 2),
        # both answers: it should be turned upside down, so neither is believed
        ({(0, False): [0.1, 0.0, 0.9, 0.0, 0.0], (2, False): [0.1, 0.0, 0.9, 0.0, 0.0]}, (0, False), 2),
        # the second answer is the surer one: a quarter on is upright
        ({(0, False): [0.0, 0.55, 0.45, 0, 0], (1, False): [0.01, 0.99, 0, 0, 0], (2, False): SURE}, (2, False), 3),
    ],
)
def test_the_orientation_heads_answers(answers, expected, reads):
    found, looks = answered(answers)
    assert (found, len(looks)) == (expected, reads)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_sure_head_turns_every_film_upright(quarters, inverted):
    """Its answers follow from the film: it needs so many more turns after each turn."""
    answers = {
        (turned, changed): [*np.roll(SURE[:4], (quarters - turned) % 4), 0.01 if changed == inverted else 0.99]
        for turned in range(4)
        for changed in (False, True)
    }
    found, looks = answered(answers)
    assert found == (quarters, inverted)
    assert len(looks) == (1 if found == (0, False) else 2)

"""The sentences of the report follow from the numbers, and promise nothing that an interval doesn't hold."""

import numpy as np
import pytest

from hipdet.workflows.fit_plan import plan_fit
from hipdet.workflows.fit_words import calibrated, comparison, machine, more_labels, notices, training_facts
from roi_sets import squares

HALF = dict(train_films=40, num_rois=40, avg_iou=0.82, other_avg_iou=0.8, gain=0.02)
DATA = dict(
    films=80, absent="known", patients_known=True, patients_said="", films_without={}, excluded=[], unlabelled=[]
)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.01, 0.03), "above 0: more films have helped here, so more labels of the same kind may help again"),
        (
            (-0.03, -0.01),
            "below 0: more films didn't help, in as many steps. More likely than labels, longer trainings",
        ),
        ((-0.01, 0.009), "A gain of 0.01 or more is unlikely: more labels of the same kind would hardly help"),
        ((-0.01, 0.03), "has 0 in it: whether more labels would help can't be told from these films"),
    ],
)
def test_whether_more_labels_would_help(interval, words):
    said = more_labels(dict(HALF, gain_interval=interval), 80, 5)
    assert "Trained on 40 films, the average IoU is 0.800; trained on about 64" in said
    assert f"{interval[0]:+.3f} to {interval[1]:+.3f}" in said
    assert words in said


def test_without_half_or_films_in_common():
    assert more_labels(None, 80, 5).startswith("Not measured")
    assert more_labels({}, 80, 5).startswith("Not measured")
    assert "no film in common" in comparison(dict(common_films=0))


def test_scores_are_compared_with_iou():
    """(20 * (0.9 - 0.8) + 10 * (0.6 - 0.7)) / 30 = 0.033; labels without a box have no score."""
    bands = [
        dict(rois=5, avg_confidence=0.0, avg_iou=0.0),
        dict(rois=20, avg_confidence=0.9, avg_iou=0.8),
        dict(rois=10, avg_confidence=0.6, avg_iou=0.7),
    ]
    assert "On average it is 0.033 too high" in calibrated(bands)
    assert "On average it is 0.100 too low" in calibrated(bands[2:])
    assert "Nothing was found" in calibrated(bands[:1])


def said(**data):
    return notices(dict(data={**DATA, **data}, plan=dict(warnings=["a warning"]), budget=dict(notes=["a note"])))


def test_notices():
    assert said() == ["A note.", "A warning."]
    assert said(patients_known=False, patients_said="unknown")[0].startswith("Patients unknown: ")
    assert said(patients_known=False, patients_said="guessed")[0].startswith("Patients are guessed")
    assert said(films_without=dict(hip=3, knee=0))[:-2] == [
        "3 films of 80 without 'hip': they count as films that lack it, so a box there is false (if they don't lack it: "
        "--absent unknown)."
    ]
    assert "it isn't known whether they lack it" in said(films_without=dict(hip=1), absent="unknown")[0]
    left = said(excluded=[["a.png", "not labelled"], ["b.png", "damaged"]], unlabelled=["a.png"])
    assert left[0] == "2 films left out, listed under Data."


def test_the_training_that_a_config_describes(tmp_path):
    cfg = plan_fit(squares(np.linspace(0.1, 0.3, 80))).config(tmp_path, "all.json")
    facts = training_facts(cfg)
    assert (facts["optimizer"], facts["learning_rate"], facts["weight_decay"], facts["batch"]) == (
        "AdamW",
        0.002,
        0.01,
        8,
    )
    assert facts["averaged"]
    assert facts["one_cycle"]
    assert facts["start"] == (
        "weights from a training on synthetic radiographs (the second look began with a ResNet-18 of ImageNet)"
    )
    for weights, words in ((None, "random weights"), ("mine.pth", "weights from a training on other radiographs")):
        cfg.load_from = weights
        assert training_facts(cfg)["start"] == words
    assert facts["augmentation"] == [
        "turned by one to three quarters (probability 0.3)",
        "inverted (probability 0.1)",
        "mirrored (probability 0.5)",
        "turned by up to 12 degrees",
        "shifted by up to 15% of the side",
        "scaled by 0.5 to 1.4",
        "stretched by up to 1.3",
        "overlaid with letters, arrows and bright edges",
        "blurred, compressed or made noisy",
        "changed in gamma by a factor of up to 2",
        "changed in brightness and contrast",
    ]
    cfg.train_dataloader.dataset.pipeline.append(dict(type="RandomErasing"))
    assert training_facts(cfg)["augmentation"][-1] == "changed by RandomErasing"


def test_the_machine():
    found = machine()
    assert set(found) == {"python", "system", "processor", "cores", "bfloat16"}
    assert found["processor"]

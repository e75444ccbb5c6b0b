"""The sentences of the report of ``hipdet fit``: what its numbers mean, and the paragraph for a paper's methods section."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from hipdet.core.annotations import GUESSED
from hipdet.engine.loop import has_bfloat16
from hipdet.evaluation.metrics import RESAMPLES
from hipdet.workflows.fit_metrics import DOUBT
from hipdet.workflows.fit_plan import SYNTHETIC

Metrics = Mapping[str, Any]
# of weights that a training from SYNTHETIC goes on with; a model card must name their copyright (hipdet/weights/README.md)
IMAGENET = "the second look began with a ResNet-18 of ImageNet"
IMAGENET_NOTICE = f"{IMAGENET} (MIT licence, copyright (c) .NET Foundation and Contributors)"
LITTLE = 0.01  # IoU: a gain below it isn't worth the labels
CHANGES = {  # steps of a pipeline, in words
    "RandomLighting": "changed in brightness and contrast",
    "RandomMarks": "overlaid with letters, arrows and bright edges",
    "RandomDegradation": "blurred, compressed or made noisy",
}
REFERENCES = (
    "F.-Y. Liu, C.-C. Chen, C.-T. Cheng, et al. Automatic Hip Detection in Anteroposterior Pelvic Radiographs - A Labelless "
    "Practical Framework. Journal of Personalized Medicine 2021; 11(6): 522. doi:10.3390/jpm11060522",
    "The hipdet developers. hipdet, version {version}. Software, Apache-2.0.",
    "K. Chen, J. Wang, J. Pang, et al. MMDetection: Open MMLab Detection Toolbox and Benchmark. arXiv:1906.07155, 2019.",
)


def machine() -> dict[str, Any]:
    """Python, system and processor, and whether the processor calculates in bfloat16."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return dict(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        processor=next(filter(None, names), platform.processor() or platform.machine()),
        cores=os.cpu_count(),
        bfloat16=has_bfloat16("cpu"),
    )


def training_facts(cfg: Config) -> dict[str, Any]:
    """What a methods section says of the training that `cfg` describes: optimizer, batch, weights, augmentation."""
    optimizer = cfg.optim_wrapper.optimizer
    return dict(
        optimizer=optimizer.type,
        learning_rate=optimizer.lr,
        weight_decay=optimizer.get("weight_decay", 0.0),
        batch=cfg.train_dataloader.batch_size,
        averaged=any(hook["type"] == "EMAHook" for hook in cfg.get("custom_hooks") or ()),
        one_cycle=any("OneCycle" in hook["type"] for hook in cfg.get("custom_hooks") or ()),
        start=_start(cfg.get("load_from")),
        augmentation=[words for step in cfg.train_dataloader.dataset.pipeline for words in _augmented(step)],
    )


def _start(weights: str | None) -> str:
    if not weights:
        return "random weights"
    if weights != str(SYNTHETIC):
        return "weights from a training on other radiographs"
    return f"weights from a training on synthetic radiographs ({IMAGENET})"


def _augmented(step: Mapping[str, Any]) -> list[str]:
    """What a step of the pipeline does at random; nothing for other steps."""
    kind = step["type"]
    if kind == "RandomSimilarity":
        return _moved(step)
    if kind == "RandomOrientation":
        turned = f"turned by one to three quarters (probability {step.get('turn_prob', 0):g})"
        return [turned, f"inverted (probability {step.get('invert_prob', 0):g})"]
    if kind == "RandomGamma":
        return [f"changed in gamma by a factor of up to {step.get('limit', 1):g}"]
    if kind == "Invert":
        return [f"inverted (probability {step.get('prob', 1):g})"]
    if kind in CHANGES:
        return [CHANGES[kind]]
    return [f"changed by {kind}"] if kind.startswith("Random") else []


def _moved(step: Mapping[str, Any]) -> list[str]:
    low, high = step.get("scale", (1, 1))
    words = [
        f"mirrored (probability {step.get('flip_prob', 0):g})",
        f"turned by up to {step.get('max_degrees', 0):g} degrees",
        f"shifted by up to {step.get('max_shift', 0):.0%} of the side",
        f"scaled by {low:g} to {high:g}",
    ]
    if quarters := step.get("quarter_turn_prob", 0):
        words.append(f"turned by one to three quarters (probability {quarters:g})")
    if (most := step.get("max_stretch", 1)) > 1:
        words.append(f"stretched by up to {most:g}")
    return words


def _interval(values: Sequence[float] | None, sign: str = "") -> str:
    return "" if values is None else f"{values[0]:{sign}.3f} to {values[1]:{sign}.3f}"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _count(number: float, one: str) -> str:
    return f"{number:.0f} {one}{'' if number == 1 else 's'}"


def meaning(found: Metrics) -> list[str]:
    """What the metrics out of fold say, in sentences."""
    said = [
        f"Each of the {_count(found['films'], 'film')} was tested by a model that wasn't trained on it, nor on another film "
        f"of its patient, as far as patients are known.",
        f"On average the box that was found and the label have an IoU of {found['avg_iou']:.3f} (1 is a perfect match, 0 no "
        f"overlap). With other patients of the same kind, this mean would probably be between "
        f"{' and '.join(f'{value:.3f}' for value in found['avg_iou_interval'])}: the 95% interval over {found['resampled']}.",
        f"{found['acc50']:.1%} of the labels are hit, with an IoU of 0.5 or more; {found['below50']:.0f} of "
        f"{found['num_rois']:.0f} are missed. {found['recall']:.1%} are hit by a box that scores enough to count as an ROI.",
    ]
    if found["false_per_film"] is None:
        said.append("False ROIs can't be counted: of no film it is known that it has no other ROIs than its labels.")
    else:
        said.append(
            f"There are {found['false_per_film']:.2f} false ROIs a film: ROIs that hit no label, on films of which it is "
            f"known what they lack."
        )
    return said


def notices(metrics: Metrics) -> list[str]:
    """What a reader has to know before trusting the numbers."""
    data, plan, budget = metrics["data"], metrics["plan"], metrics["budget"]
    said = []
    if data["patients_said"] == GUESSED:
        said.append(
            "Patients are guessed: groups of films that may be of one patient are kept together. Films of a patient may "
            "be in two folds all the same."
        )
    elif not data["patients_known"]:
        said.append(
            "Patients unknown: only near duplicates are kept together. If a patient has several films, a model was tested on "
            "patients that it was trained on, and the metrics are too good. Give --patients."
        )
    known = data["absent"] == "known"
    said += [
        f"{_count(count, 'film')} of {data['films']} without {name!r}: "
        + (
            "they count as films that lack it, so a box there is false (if they don't lack it: --absent unknown)"
            if known
            else "it isn't known whether they lack it, so a box there isn't counted"
        )
        + "."
        for name, count in data["films_without"].items()
        if count
    ]
    if left := len({film for film, _ in data["excluded"]} | {*data["unlabelled"]}):
        said.append(f"{_count(left, 'film')} left out, listed under Data.")
    said += [f"{note[:1].upper()}{note[1:]}." for note in (*budget["notes"], *plan["warnings"])]
    return said


def more_labels(half: Metrics | None, films: int, folds: int) -> str:
    """Whether more labels would help, from the gain of all films over half of them and its interval."""
    if not half:
        return "Not measured: there was no training on half of the films."
    low, high = half["gain_interval"]
    said = (
        f"Trained on {half['train_films']} films, the average IoU is {half['other_avg_iou']:.3f}; trained on about "
        f"{films - films // folds}, with as many steps, it is {half['avg_iou']:.3f} on the same {half['num_rois']} ROIs: a "
        f"gain of {half['gain']:+.3f} (95% interval {_interval(half['gain_interval'], '+')}). "
    )
    if low > 0:
        return (
            said
            + "The interval is above 0: more films have helped here, so more labels of the same kind may help again."
        )
    if high < 0:
        return said + (
            "The interval is below 0: more films didn't help, in as many steps. More likely than labels, longer trainings "
            "(--minutes) are what is missing."
        )
    if high < LITTLE:
        return said + (
            f"A gain of {LITTLE} or more is unlikely: more labels of the same kind would hardly help. Look at the worst "
            f"films and at the doubted labels instead."
        )
    return said + "The interval has 0 in it: whether more labels would help can't be told from these films."


def calibrated(bands: Sequence[Metrics]) -> str:
    """Whether scores can be taken as the IoU to expect."""
    found = [band for band in bands if band["avg_confidence"] > 0]
    rois = sum(band["rois"] for band in found)
    if not rois:
        return "Nothing was found, so there is no score."
    gap = sum(band["rois"] * (band["avg_confidence"] - band["avg_iou"]) for band in found) / rois
    said = "too high" if gap > 0 else "too low"
    return (
        f"A score is the IoU that a box should have. On average it is {abs(gap):.3f} {said}; in a well calibrated model the "
        f"points lie on the dashed line. Labels without a box count with score and IoU 0."
    )


def doubts(metrics: Metrics) -> str:
    """How many labels are doubted, and by which rule."""
    found, rois = metrics["doubted"], metrics["out_of_fold"]["num_rois"]
    rule = (
        f"The score is the IoU that a box should have with a label. Listed is each ROI with a score of 0.5 or more whose "
        f"score is {DOUBT} or more above the IoU that it has (0 without a label): either the label is wrong, or the detector."
    )
    return f"{_count(len(found), 'doubt')} about {_count(rois, 'label')}. {rule}"


def comparison(before: Metrics) -> str:
    """Whether the model is better than that of the run before, on the films that both have."""
    if not before["common_films"]:
        return "The two runs have no film in common, so they can't be compared on the same films."
    said = (
        f"On the {_count(before['common_films'], 'film')} that both runs have, the average IoU was "
        f"{before['common_avg_iou_before']:.3f} and is {before['common_avg_iou']:.3f}: a gain of "
        f"{before['common_gain']:+.3f} a film (95% interval {_interval(before['common_gain_interval'], '+')}). "
    )
    low, high = before["common_gain_interval"]
    if low > 0:
        return said + "The interval is above 0: it is better."
    return said + (
        "The interval is below 0: it is worse." if high < 0 else "The interval has 0 in it: chance may do that."
    )


def methods(metrics: Metrics) -> str:
    """A paragraph for the methods section of a paper, with the numbers of this run."""
    data, plan, budget, training = (metrics[key] for key in ("data", "plan", "budget", "training"))
    versions = metrics["versions"]
    counts = _listed([f"{count} of {name!r}" for name, count in data["rois_of_class"].items()])
    whose = f" of {data['patients']} patients" if data["patients_known"] else ", whose patients were not known"
    lacking = _listed([f"{count} lacked {name!r}" for name, count in data["films_without"].items() if count])
    first = f"{plan['side'] // plan['reduction']} x {plan['side'] // plan['reduction']} px"
    cycle = "a one-cycle learning rate of up to" if training["one_cycle"] else "a learning rate of"
    kept = {"": "all films of a patient", GUESSED: "groups of films that may be of one patient"}.get(
        data["patients_said"], "near duplicates"
    )
    averaged = ", with an exponential moving average of the weights" if training["averaged"] else ""
    return " ".join(
        [
            f"The detector was trained with hipdet {versions.get('hipdet', '')} [2], a plug-in for MMDetection "
            f"{versions.get('mmdet', '')} [3] on PyTorch {versions.get('torch', '')}, on {data['films']} radiographs{whose}, "
            f"with {data['rois']} labelled regions of interest ({counts}).",
            f"Of the radiographs, {lacking}." if lacking and data["absent"] == "known" else "",
            f"The network ({plan['base']}, {metrics['parameters']:,} parameters), which follows the framework of Liu et al. "
            f"[1], looks at each radiograph, fitted into a square of {plan['side']} px, first at {first}, with "
            f"{plan['anchors']}, and then at a crop of {plan['pixels']} x {plan['pixels']} px about each region; its score "
            f"estimates the intersection over union (IoU) of the box.",
            "Input size, anchors and length of the training were set from sizes and counts of the labels alone.",
            f"It was trained from {training['start']} for {budget['steps']} steps of "
            f"{training['batch']} radiographs with {training['optimizer']} ({cycle} {training['learning_rate']:g}, weight "
            f"decay {training['weight_decay']:g}){averaged}.",
            f"Training images were {_listed(training['augmentation'])} at random." if training["augmentation"] else "",
            f"In a {budget['folds']}-fold cross-validation, {kept} were in the same fold, each radiograph was tested by the "
            f"model that was not trained on it, and the weights of the last step were used.",
            _measured(metrics["out_of_fold"]),
            _measured_elsewhere(metrics.get("test")),
            "The final model was trained on all radiographs.",
        ]
    ).replace("  ", " ")


def _measured(found: Metrics) -> str:
    false = (
        f", with {found['false_per_film']:.2f} false boxes per radiograph ({_interval(found['false_per_film_interval'])})"
        if found["false_per_film"] is not None
        else ""
    )
    return (
        f"The mean IoU was {found['avg_iou']:.3f} (95% interval {_interval(found['avg_iou_interval'])}, {RESAMPLES} "
        f"bootstrap resamples of {found['resampled']}), the lowest {found['min_iou']:.3f}; {found['acc50']:.1%} "
        f"({_share(found['acc50_interval'])}) of the regions had an IoU of at least 0.5 and {found['acc75']:.1%} "
        f"({_share(found['acc75_interval'])}) of at least 0.75; at the score from which a box counts as a region, "
        f"{found['recall']:.1%} ({_share(found['recall_interval'])}) were found{false}."
    )


def _share(interval: Sequence[float]) -> str:
    return " to ".join(f"{value:.1%}" for value in interval)


def _measured_elsewhere(test: Metrics | None) -> str:
    if not test or not test.get("num_rois"):
        return ""
    return (
        f"On {_count(test['films'], 'radiograph')} from elsewhere, the final model reached a mean IoU of "
        f"{test['avg_iou']:.3f} (95% interval {_interval(test['avg_iou_interval'])}) and found {test['recall']:.1%} of "
        f"{test['num_rois']:.0f} regions."
    )

"""The plan of ``hipdet fit``: config, sizes, anchors and length of the training, from sizes and counts, never from scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.config import Config

from hipdet.anchors.config import PlanData, config_text
from hipdet.anchors.feature_map import Backbone
from hipdet.anchors.plan import Plan, design
from hipdet.anchors.rois import Rois
from hipdet.anchors.search import Goal
from hipdet.core.classes import sided_pairs
from hipdet.core.configs import portable, read_config
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_text

# weights of a training on synthetic films, of a network like those that are planned (hipdet/weights/README.md)
SYNTHETIC = Path(__file__).resolve().parents[1] / "weights/phantoms.safetensors"
USUAL, LARGE = "configs/hip_roi_resnet18.py", "configs/hip_roi_large.py"
LARGE_FROM = 2000  # films: below, four times the weights bring nothing that half an hour of a CPU could teach them
# side of the square in pixels, by how much it is reduced for the first look, the smallest ROI that is found in it, in pixels
# of the square, and the most cells along a side of its map, from coarse to fine (docs/results/fit.md)
VIEWS = ((448, 4, 80, 14), (448, 2, 16, 14), (448, 1, 16, 28), (640, 1, 16, 40), (896, 1, 16, 56))
# an ROI whose best anchor is another's has other anchors, and the second look finds its place
GOAL = Goal(contested=0.05, crowded=0.05)
CONTEXT = 1.3  # sides of an ROI that a crop of the second look shows
CROPS = (64, 80)  # px, sides of that crop; finer ones take time from the number of crops
PER_PIXEL = 2.0  # pixels of the square that a pixel of the smaller crop may hold
MIXING = 7  # cells: nearly all of a crop's 8 to 16
TRAINED_PIXELS = 40_000  # of the crops of a film in a step: half of the step's time
BATCH = 8
STEPS = 1650  # of 8 films: 150 epochs of FILMS
FILMS = 88
LEAST_STEPS, MOST_STEPS = 1000, 6000


@dataclass(frozen=True)
class FitPlan:
    """What is trained, and why.

    Attributes:
        base: Config that it is based on.
        anchors: The plan of the anchors and of the second look.
        side: Side of the square that the network gets, in pixels.
        reduction: By how much it is reduced for the first look.
        pixels: Side of the crop of the second look, in pixels.
        copies: Crops of each label in a step.
        steps: Steps of :data:`BATCH` films that the data are worth; the budget may allow fewer.
        reasons: Sentences.
        warnings: Sentences.
    """

    base: str
    anchors: Plan
    side: int
    reduction: int
    pixels: int
    copies: int
    steps: int
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def config(self, root: Path, ann_file: str, options: Mapping[str, Any] | None = None) -> Config:
        """The config for films below `root` and their COCO file; it stands alone, without a base.

        Args:
            root: Data root.
            ann_file: COCO file below it.
            options: Further settings, as in ``--cfg-options``.

        Raises:
            ConfigError: a config can't hold the name of a folder or class.
        """
        base = self._viewed(read_config(self.base))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "config.py"
            where = PlanData(root.resolve().as_posix(), [ann_file])
            write_text(path, config_text(self.anchors, base, Path(str(base.filename)), path, where))
            cfg = self._viewed(Config.fromfile(path))
        cfg.model.refiner.update(pixels=self.pixels, context=CONTEXT, copies=self.copies, mixing=MIXING)
        cfg.model.refiner.backbone.standardise = True
        for backbone in (cfg.model.backbone, cfg.model.refiner.backbone):
            backbone.in_channels = 1  # no weights of colour pictures
        if self.base == USUAL:
            cfg.load_from = str(SYNTHETIC)
        cfg.train_dataloader.num_workers = 1  # copies are small, and every training has one core
        for name in ("films", "loader", "to_square", "residual", "load_film"):  # parts that the base was built from
            cfg._cfg_dict.pop(name, None)
        options = dict(options or {})
        if self.base == USUAL and not options.get("load_from", SYNTHETIC):
            for group in cfg.optim_wrapper.paramwise_cfg.groups:
                group.pop("lr_mult", None)  # nothing is pretrained, so nothing learns slower
        cfg.merge_from_dict(options)
        return cfg

    def _viewed(self, cfg: Config) -> Config:
        """`cfg` with the size of the square, its reduction, and no stretched films if ROIs aren't square."""
        cfg.image_size = (self.side, self.side)
        cfg.model.reduction = self.reduction
        steps = [cfg.get(f"{part}_pipeline") or () for part in ("train", "test")]
        for part in ("train", "val", "test"):
            steps.append(((cfg.get(f"{part}_dataloader") or {}).get("dataset") or {}).get("pipeline") or ())
        for step in (step for pipeline in steps for step in pipeline):
            if step["type"] == "Resize":
                step["scale"] = (self.side, self.side)
            if step["type"] == "Pad":
                step["size"] = (self.side, self.side)
            if step["type"] == "RandomSimilarity" and not self.anchors.second_look.square:
                step["max_stretch"] = 1.0
        return cfg

    def record(self) -> dict[str, Any]:
        """What reports say about the plan."""
        look = self.anchors.second_look
        return dict(
            base=Path(self.base).stem,
            side=self.side,
            reduction=self.reduction,
            pixels=self.pixels,
            copies=self.copies,
            anchors=str(self.anchors.anchors),
            square=look.square,
            one_size=look.one_size,
            rois=self.anchors.roi_counts.to_json(),
            steps=self.steps,
            reasons=list(self.reasons),
            warnings=list(self.warnings),
        )

    def text(self) -> str:
        """Config, sizes and reasons for the terminal."""
        head = (
            f"Plan: {Path(self.base).stem} on {self.side} px, first look at 1/{self.reduction}, crops of {self.pixels} px, "
            f"{self.anchors.anchors}"
        )
        lines = [head, *(f"  - {reason}" for reason in self.reasons)]
        return "\n".join([*lines, *(f"  - warning: {warning}" for warning in self.warnings)])


def plan_fit(rois: Rois, name: str = "films") -> FitPlan:
    """Plan a training for `rois`, at least one.

    Raises:
        DatasetError: no anchors fit sizes and shapes that differ so much.
    """
    films = len(rois.long_sides)
    base, why = _choose_base(films)
    config = read_config(base)
    side, reduction, anchors, view = _choose_view(rois, config, name)
    pixels, copies, crop = _choose_crop(rois, side)
    steps, length = plan_steps(films)
    look = anchors.second_look
    reasons = (why, *view, *anchors.reasons, *look.reasons, crop, *_flips(rois.classes), length)
    return FitPlan(base, anchors, side, reduction, pixels, copies, steps, reasons, anchors.warnings)


def _choose_base(films: int) -> tuple[str, str]:
    if films >= LARGE_FROM:
        return (
            LARGE,
            f"{films} films, {LARGE_FROM} or more: the large network can learn from so many, from random weights.",
        )
    words = "a network that learns from few films, by default from weights of synthetic films on, where they fit."
    return USUAL, f"{films} films, fewer than {LARGE_FROM}: {words}"


def _choose_view(rois: Rois, config: Config, name: str) -> tuple[int, int, Plan, list[str]]:
    """The coarsest view in which the smallest ROIs are large enough, and anchors fit on a map that isn't too fine."""
    smallest = float(np.quantile(rois.ratios, 0.005))
    largest_film = float(np.median(rois.long_sides))
    base_side = max(config.image_size)
    found: tuple[int, int, Plan] | None = None
    tried: list[str] = []
    error: DatasetError | None = None
    for side, reduction, least, most_cells in VIEWS:
        if side > base_side and largest_film < side / 1.2:
            break  # films have no more pixels to show
        backbone = Backbone(side, config.model.backbone.num_stages, reduction, config.model.backbone.depth)
        try:
            plan = design({name: rois}, GOAL, backbone)
        except DatasetError as fault:
            error = fault
            continue
        found = side, reduction, plan
        if smallest * side < least:
            tried.append(f"at {side} px (1/{reduction}) the smallest ROIs have {smallest * side:.0f} px")
        elif min(plan.anchors.grids) > most_cells:
            tried.append(f"at {side} px (1/{reduction}) a map of {most_cells} cells is too coarse")
        else:
            break
    if found is None:
        raise error or DatasetError("no view fits")
    side, reduction, plan = found
    words = f"The first look is at {side // reduction} px (1/{reduction} of {side} px)"
    reason = (
        f"{words}; {'; '.join(tried)}." if tried else f"{words}, where the smallest ROIs have {smallest * side:.0f} px."
    )
    return side, reduction, plan, [reason]


def _choose_crop(rois: Rois, side: int) -> tuple[int, int, str]:
    """Side of a crop, copies of each ROI, and why: the smallest crop with at most :data:`PER_PIXEL` pixels in one."""
    across = float(np.median(rois.ratios)) * side * CONTEXT
    pixels = next((each for each in CROPS if across <= PER_PIXEL * each), CROPS[-1])
    crops = TRAINED_PIXELS / pixels**2 - 1  # one is background
    copies = max(2, round(crops * len(rois.long_sides) / len(rois.ratios)))
    reason = (
        f"The second look sees {CONTEXT:g} times the ROI, {across:.0f} of {side} px (median), in a crop of {pixels} px; it "
        f"learns from {copies} crops of each ROI in a step."
    )
    return pixels, copies, reason


def plan_steps(films: int) -> tuple[int, str]:
    """Steps of :data:`BATCH` films that `films` are worth, and the reason: the root of their number times the recipe's."""
    steps = round(min(max(STEPS * math.sqrt(films / FILMS), LEAST_STEPS), MOST_STEPS))
    return steps, (
        f"{films} films are worth {steps} steps of {BATCH} films ({STEPS} for {FILMS} films, growing with the root of their "
        f"number, {LEAST_STEPS} to {MOST_STEPS})."
    )


def _flips(classes: Sequence[str]) -> list[str]:
    pairs = sided_pairs(classes)
    if not pairs:
        return ["Films are mirrored at random: no class is a left or right one."]
    listed = ", ".join(f"{left!r} and {right!r}" for left, right in pairs)
    return [f"Films are mirrored at random, and {listed} swap in the mirror image (mirrored_pairs)."]


def epochs_for(steps: int, films: int, batch: int = BATCH) -> tuple[int, int, bool]:
    """Epochs that have `steps` steps on `films`, steps of an epoch, and whether its last batch is dropped, as it is small."""
    drop = films > batch and 0 < films % batch < batch / 2
    per_epoch = films // batch if drop else -(-films // batch)
    return -(-steps // per_epoch), per_epoch, drop


def portable_text(cfg: Config, reasons: Sequence[str]) -> str:
    """The source of `cfg` without this machine's paths, after its `reasons` as a comment."""
    lines = ["Planned and trained by hipdet fit; its films: --data-root FOLDER, the folder data beside it."]
    if start := cfg.get("load_from"):
        lines.append(f"It started from {Path(start).name}, which this file doesn't name: --cfg-options load_from=PATH")
    lines += reasons
    head = "".join(f"# {ascii(line)[1:-1]}\n" for line in lines)
    return head + str(Config(portable(cfg.to_dict())).pretty_text)

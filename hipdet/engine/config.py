"""Changes to a config by command-line options: data folders, precision, resuming, test-time augmentation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from hipdet.anchors.second_look import PASSES
from hipdet.core.classes import mirrored_labels
from hipdet.core.configs import in_place
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.checkpoint import get_meta, read_checkpoint


def use_data_root(cfg: Config, root: str) -> None:
    """Point the films and annotations of a config to `root`; a config that training saved has the old folder in it.

    Raises:
        ConfigError: the config has no data root.
    """
    datasets = [(cfg.get(f"{part}_dataloader") or {}).get("dataset", {}) for part in ("train", "val", "test")]
    old = {each.data_root for each in (cfg, *datasets) if each.get("data_root")} - {root}
    if not old and not cfg.get("data_root"):
        raise ConfigError(f"--data-root {root}: {cfg.filename} has no data_root, expected one to replace: set it there")

    def moved(key: Any, text: str) -> str:
        for folder in old:
            below = os.path.isabs(folder) or key == "data_root"  # other paths are relative to the root already
            if below and (text == folder or text.startswith(f"{folder.rstrip('/')}/")):
                return root + text[len(folder.rstrip("/")) :]
        return text

    _change_places(cfg, moved)
    use_environment(cfg)


def use_environment(cfg: Config) -> None:
    """Apply ``$HIPDET_DATA`` to the folders of films and annotations, so that the saved config has it."""
    _change_places(cfg, lambda key, text: in_place(text) if key == "data_root" else text)


def _change_places(cfg: Config, change: Callable[[Any, str], str]) -> None:
    """Replace every string in the data loaders and evaluators of a config by ``change(key, string)``.

    Annotation files of evaluators, which begin with the data root, have the key ``data_root`` here.
    """

    def changed(value: Any, key: Any, in_evaluator: bool) -> Any:
        if isinstance(value, dict):
            return {name: changed(each, name, in_evaluator) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(changed(each, key, in_evaluator) for each in value)
        key = "data_root" if in_evaluator and key == "ann_file" else key
        return change(key, value) if isinstance(value, str) else value

    parts = [f"{part}_{what}" for part in ("train", "val", "test") for what in ("dataloader", "evaluator")]
    for part in ("data_root", *parts):
        if part in cfg:
            cfg[part] = changed(cfg[part], part, part.endswith("evaluator"))


def use_annotations(cfg: Config, part: str, ann_file: str) -> None:
    """Take the films of `part` ("train", "val" or "test") from another COCO file, `ann_file`, under the data root.

    Raises:
        ConfigError: the films of this part don't come from one file.
    """
    dataset = (cfg.get(f"{part}_dataloader") or {}).get("dataset", {})
    if "ann_file" not in dataset:
        raise ConfigError(f"--{part}-ann {ann_file}: {cfg.filename} doesn't take its films of '{part}' from one file")
    dataset.ann_file = ann_file
    evaluators = cfg.get(f"{part}_evaluator") or []
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if "ann_file" in evaluator:
            evaluator.ann_file = str(Path(dataset.data_root, ann_file))


def require_annotations(cfg: Config, parts: Sequence[str]) -> None:
    """Check that the COCO files of `parts` ("train", "val", "test") exist, before anything is built, logged or written.

    Raises:
        ConfigError: a file is missing.
    """
    for part in parts:
        for root, ann_file in _annotation_paths(cfg.get(f"{part}_dataloader") or {}):
            path = Path(root, ann_file)
            if "://" not in f"{root} {ann_file}" and not path.is_file():
                place = "" if path.is_absolute() else f" in {Path.cwd()}"
                raise ConfigError(
                    f"{path}: no such file{place}, expected the films for {part}: give their folder with --data-root, or "
                    f"make the file with hipdet convert"
                )


def _annotation_paths(value: Any) -> Iterator[tuple[str, str]]:
    """Data root and annotation file of every data set in a loader's settings, including those inside wrappers."""
    if isinstance(value, dict) and value.get("ann_file") and isinstance(value["ann_file"], str):
        if not value.get("backend_args"):  # a local file
            yield value.get("data_root") or "", value["ann_file"]
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _annotation_paths(each)


def require_gpu_for_amp() -> None:
    """Raise ConfigError if there is no GPU for mixed precision."""
    if not torch.cuda.is_available():
        raise ConfigError("--amp needs a CUDA GPU, but there is none: leave it out to train in full precision")


def use_amp(cfg: Config) -> None:
    """Train in mixed precision.

    Raises:
        ConfigError: there is no GPU.
    """
    require_gpu_for_amp()
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.loss_scale = "dynamic"


def use_auto_scale_lr(cfg: Config) -> None:
    """Scale learning rates by batch size.

    Raises:
        ConfigError: the config has no base batch size.
    """
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise ConfigError("--auto-scale-lr: the config has no auto_scale_lr.base_batch_size: set it to scale from")
    cfg.auto_scale_lr.enable = True


def use_resume(cfg: Config, resume: str) -> None:
    """Resume from a checkpoint, or with ``auto`` from the last one in the work dir, after reading it safely.

    If ``auto`` finds none, training starts as without it, from the config's ``load_from`` if there is one.

    Raises:
        CheckpointError: the checkpoint can't be read, or lacks what training needs to go on, such as the optimizer's state.
    """
    checkpoint = find_latest_checkpoint(cfg.work_dir) if resume == "auto" else resume
    if checkpoint is None:
        print(f"{cfg.work_dir}: no checkpoint to resume from: training starts from epoch 1", file=sys.stderr)
        require_readable_start(cfg)
        return
    if resume == "auto" and not Path(checkpoint).is_file():  # its folder was moved, or the disk was full
        there = ", ".join(sorted(path.name for path in Path(cfg.work_dir).glob("*.pth"))) or "none"
        raise CheckpointError(
            f"{cfg.work_dir}/last_checkpoint: names {checkpoint!r}, which isn't there: resume with --resume FILE from one of "
            f"its checkpoints ({there}), or remove the file to start again"
        )
    cfg.resume = True
    cfg.load_from = None if resume == "auto" else resume
    content = read_checkpoint(checkpoint)
    meta = get_meta(content, Path(checkpoint))
    if "optimizer" not in content:
        raise CheckpointError(
            f"{checkpoint}: can't be resumed, as it has no optimizer state (published weights have none); start a new "
            f"training from it with --cfg-options load_from={checkpoint}"
        )
    for key in ("epoch", "iter"):
        meta.whole(key, 0)
    for key in ("seconds", "cpu_seconds"):
        meta.number(key, 0, default=None)


def require_readable_start(cfg: Config) -> None:
    """Check that the weights in ``load_from``, if they are a file, can be read, before anything else is done.

    Raises:
        CheckpointError: they can't be read.
    """
    if cfg.get("load_from") and "://" not in cfg.load_from:
        read_checkpoint(cfg.load_from)


WHOLE_FILM = ("LoadAnnotations", "Resize")  # steps that keep the whole film and add no padding
META_KEYS = ("ori_shape", "scale_factor", "flip", "flip_direction")
SAME_ROI, MOST = 0.5, 100  # defaults for a test_cfg without these settings


def use_flip_averaging(cfg: Config) -> None:
    """Make the test of `cfg` average each film's detections with those on its mirror image, see `MirrorAveraging`.

    Raises:
        ConfigError: films can't be mirrored in the pipeline, or classes of left and right have no ``mirrored_pairs``.
    """
    loader = cfg.test_dataloader
    kind = DATASETS.get(loader.dataset.type)
    metainfo = {**getattr(kind, "METAINFO", {}), **(loader.dataset.get("metainfo") or {})}
    if "pipeline" not in loader.dataset or "classes" not in metainfo:
        raise ConfigError(
            f"--tta: test_dataloader.dataset of {cfg.filename} is a {loader.dataset.type} without a pipeline and classes of "
            f"its own, expected a single data set: test on its parts one by one"
        )
    loader.dataset.pipeline = mirroring_pipeline(loader.dataset.pipeline)
    loader.pop("collate_fn", None)  # the two views need mmengine's own collate function
    settings = cfg.model.get("test_cfg") or {}
    settings = settings.get("rcnn", settings)
    averaging = dict(
        type="MirrorAveraging",
        # within one view, the model keeps only one of two detections that overlap more
        same_roi=settings.get("nms", {}).get("iou_threshold", SAME_ROI),
        max_per_img=max(settings.get("max_per_img", MOST), _count_refined(cfg.model)),
        mirrored_labels=mirrored_labels(metainfo, str(cfg.filename), "--tta"),
    )
    # wrapped after the weights are loaded: mmengine can't load them into two wrappers, this and the distributed one
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), dict(type="PrepareTTAHook", tta_cfg=averaging)]


def _count_refined(model: Any) -> int:
    """Number of detections in two views of a refining detector of several classes, which ``max_per_img`` doesn't limit."""
    passes, classes = model.get("passes", PASSES), model.get("bbox_head", {}).get("num_classes", 1)
    several = _kind(model) == "RefiningDetector" and passes and classes > 1
    return int(2 * passes[0] * classes) if several else 0


def mirroring_pipeline(steps: Sequence[Any]) -> list[Any]:
    """`steps` of a test pipeline, changed to give two views of a film: the original, then the mirror image.

    The film is mirrored right after it is loaded and resized: before ``Pad``, so that the padding stays at the right and the
    bottom, and before any other step.

    Raises:
        ConfigError: the steps don't begin and end as in mmdet's pipelines, or they mirror films already.
    """
    kinds = [_kind(step) for step in steps]
    if not kinds or kinds[0] != "LoadImageFromFile" or kinds[-1] != "PackDetInputs":
        raise ConfigError(
            f"--tta: the test pipeline is {kinds}, expected LoadImageFromFile first and PackDetInputs last, as films are "
            f"mirrored in between"
        )
    if doubled := {"RandomFlip", "TestTimeAug"} & set(kinds):
        raise ConfigError(f"--tta: the test pipeline has {min(doubled)} already: leave it out, or test without --tta")
    place = next(index for index, kind in enumerate(kinds) if index and kind not in WHOLE_FILM)
    pack = dict(steps[-1])
    if "meta_keys" in pack:
        pack["meta_keys"] = tuple(dict.fromkeys((*pack["meta_keys"], *META_KEYS)))
    views = [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)]
    after = [[step] for step in (*steps[place:-1], pack)]
    return [*steps[:place], dict(type="TestTimeAug", transforms=[views, *after])]


def _kind(step: Any) -> str:
    """The type of a step or model, without its scope or module."""
    kind = step.get("type", "")
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]

"""What follows in a config from what is typed: places of films, precision, resuming, test-time augmentation."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from hipdet.anchors.second_look import PASSES
from hipdet.core.classes import mirrored_labels
from hipdet.core.configs import in_fold, in_place
from hipdet.core.errors import CheckpointError, ConfigError
from hipdet.engine.checkpoint import read_checkpoint


def use_data_root(cfg: Config, root: str) -> None:
    """Move the films and annotations of a config to `root`: one that training saved has its folder written in it.

    Raises:
        ConfigError: a config without a data root.
    """
    datasets = [(cfg.get(f"{part}_dataloader") or {}).get("dataset", {}) for part in ("train", "val", "test")]
    old = {each.data_root for each in (cfg, *datasets) if each.get("data_root")} - {root}
    if not old and not cfg.get("data_root"):
        raise ConfigError(f"--data-root {root}: {cfg.filename} has no data_root")

    def moved(key: Any, text: str) -> str:
        for folder in old:
            below = os.path.isabs(folder) or key == "data_root"  # else below the root anyway, as annotation files are
            if below and (text == folder or text.startswith(f"{folder.rstrip('/')}/")):
                return root + text[len(folder.rstrip("/")) :]
        return text

    _change_places(cfg, moved)
    use_environment(cfg)


def use_environment(cfg: Config) -> None:
    """Put what the environment says into the places of films and annotations, so that the saved config has it.

    Raises:
        ConfigError: the environment says what can't be.
    """
    changes = dict(data_root=in_place, ann_file=in_fold)
    _change_places(cfg, lambda key, text: changes[key](text) if key in changes else text)


def _change_places(cfg: Config, change: Callable[[Any, str], str]) -> None:
    """Apply `change` to every text of the parts of a config that have to do with films, and to the key that it stands under.

    The annotation files of evaluators, which begin with the data root, stand under ``data_root`` here.
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
        ConfigError: a config whose films of this part aren't those of one file.
    """
    dataset = (cfg.get(f"{part}_dataloader") or {}).get("dataset", {})
    if "ann_file" not in dataset:
        raise ConfigError(f"--{part}-ann {ann_file}: {cfg.filename} doesn't take its films of '{part}' from one file")
    dataset.ann_file = ann_file
    evaluators = cfg.get(f"{part}_evaluator") or []
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if "ann_file" in evaluator:
            evaluator.ann_file = str(Path(dataset.data_root, ann_file))


def require_gpu_for_amp() -> None:
    """Raise ConfigError where mixed precision can't work."""
    if not torch.cuda.is_available():
        raise ConfigError("--amp needs a CUDA GPU and there is none: leave it out to train in full precision")


def use_amp(cfg: Config) -> None:
    """Train in mixed precision.

    Raises:
        ConfigError: no GPU.
    """
    require_gpu_for_amp()
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.loss_scale = "dynamic"


def use_auto_scale_lr(cfg: Config) -> None:
    """Scale learning rates by batch size.

    Raises:
        ConfigError: a config without a base batch size.
    """
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise ConfigError("--auto-scale-lr: the config has no auto_scale_lr.base_batch_size")
    cfg.auto_scale_lr.enable = True


def use_resume(cfg: Config, resume: str) -> None:
    """Resume from a checkpoint, or with ``auto`` from the last one of the work dir, after reading it safely.

    Where ``auto`` finds none, training begins as without it, from the config's ``load_from`` if there is one.

    Raises:
        CheckpointError: a checkpoint that can't be read.
    """
    checkpoint = find_latest_checkpoint(cfg.work_dir) if resume == "auto" else resume
    if checkpoint is None:
        require_readable_start(cfg)
        return
    cfg.resume = True
    cfg.load_from = None if resume == "auto" else resume
    if "optimizer" not in read_checkpoint(checkpoint):
        raise CheckpointError(
            f"{checkpoint}: published weights can't be resumed, as they lack the optimizer's state; start a new training "
            f"from them with --cfg-options load_from={checkpoint}"
        )


def require_readable_start(cfg: Config) -> None:
    """Read the weights that training is to begin from, if they are a file, before anything else is done.

    Raises:
        CheckpointError: they can't be read.
    """
    if cfg.get("load_from") and "://" not in cfg.load_from:
        read_checkpoint(cfg.load_from)


WHOLE_FILM = ("LoadAnnotations", "Resize")  # steps that leave the film whole, and nothing beside it
META_KEYS = ("ori_shape", "scale_factor", "flip", "flip_direction")
SAME_ROI, MOST = 0.5, 100  # of a model whose test_cfg doesn't say


def use_flip_averaging(cfg: Config) -> None:
    """Let the test of `cfg` average each film's detections with those on its mirror image, see `MirrorAveraging`.

    Raises:
        ConfigError: a pipeline that films can't be mirrored in, or classes of left and right without ``mirrored_pairs``.
    """
    loader = cfg.test_dataloader
    kind = DATASETS.get(loader.dataset.type)
    metainfo = {**getattr(kind, "METAINFO", {}), **(loader.dataset.get("metainfo") or {})}
    if "pipeline" not in loader.dataset or "classes" not in metainfo:
        raise ConfigError(
            f"--tta: test_dataloader.dataset of {cfg.filename} is a {loader.dataset.type} without a pipeline and classes of "
            f"its own, expected one data set: test on its parts one by one"
        )
    loader.dataset.pipeline = mirroring_pipeline(loader.dataset.pipeline)
    loader.pop("collate_fn", None)  # the two looks are handed over in mmengine's own way
    settings = cfg.model.get("test_cfg") or {}
    settings = settings.get("rcnn", settings)
    averaging = dict(
        type="MirrorAveraging",
        # of two detections of one look that overlap more, the model itself keeps one
        same_roi=settings.get("nms", {}).get("iou_threshold", SAME_ROI),
        max_per_img=max(settings.get("max_per_img", MOST), _regardless(cfg.model)),
        mirrored_labels=mirrored_labels(metainfo, str(cfg.filename), "--tta"),
    )
    # once the weights are loaded: mmengine doesn't find their places within two wrappers, this and the distributed one
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), dict(type="PrepareTTAHook", tta_cfg=averaging)]


def _regardless(model: Any) -> int:
    """Detections that two looks of `model` give whatever its ``max_per_img`` says: some of each class."""
    passes, classes = model.get("passes", PASSES), model.get("bbox_head", {}).get("num_classes", 1)
    several = _kind(model) == "RefiningDetector" and passes and classes > 1
    return int(2 * passes[0] * classes) if several else 0


def mirroring_pipeline(steps: Sequence[Any]) -> list[Any]:
    """`steps` of a test pipeline, giving two looks at a film: as it is, then mirrored.

    The film is mirrored as soon as it is read and resized: before ``Pad``, so that the padding stays at the right and the
    bottom, and before whatever else a pipeline does.

    Raises:
        ConfigError: steps that begin and end otherwise than mmdet's pipelines, or that mirror films already.
    """
    kinds = [_kind(step) for step in steps]
    if not kinds or kinds[0] != "LoadImageFromFile" or kinds[-1] != "PackDetInputs":
        raise ConfigError(
            f"--tta: the test pipeline is {kinds}, expected LoadImageFromFile first and PackDetInputs last, to mirror films "
            f"in between"
        )
    if doubled := {"RandomFlip", "TestTimeAug"} & set(kinds):
        raise ConfigError(f"--tta: the test pipeline has {min(doubled)} already: leave it out, or test without --tta")
    place = next(index for index, kind in enumerate(kinds) if index and kind not in WHOLE_FILM)
    pack = dict(steps[-1])
    if "meta_keys" in pack:
        pack["meta_keys"] = tuple(dict.fromkeys((*pack["meta_keys"], *META_KEYS)))
    looks = [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)]
    after = [[step] for step in (*steps[place:-1], pack)]
    return [*steps[:place], dict(type="TestTimeAug", transforms=[looks, *after])]


def _kind(step: Any) -> str:
    """The name of a step, without the scope or module that it comes from."""
    kind = step.get("type", "")
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]

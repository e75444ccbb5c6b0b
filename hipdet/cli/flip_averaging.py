"""Test-time augmentation: each film is looked at twice, as it is and mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config

from hipdet.errors import ConfigError
from hipdet.mirrored_classes import mirrored_labels
from hipdet.models.refining_detector import PASSES

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

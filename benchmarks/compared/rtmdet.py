"""RTMDet-tiny of mmdet from scratch, with its own config and augmentation, trained and tested by hipdet's commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from compared.folds import Folds, Part
from compared.programs import Used, run
from hipdet.core.errors import ConfigError
from hipdet.core.files import write_text
from hipdet.core.records import read_json
from hipdet.workflows.cross_validation import CONFIG
from hipdet.workflows.process import TEST, TRAIN

ORIGINAL = "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
SIDE, EPOCHS, LAST, RATE, FILMS, WARM_UP = 640, 300, 20, 0.004, 256, 1000  # of the original config
BATCH = 8
NMS = 0.3  # IoU, as in hipdet's configs
SIZES = {"img_scale", "scale", "crop_size", "size"}  # settings of steps, px
LOADED = dict(type="LoadImageFromFile", backend_args=dict(backend="radiograph"))


def original() -> Path:
    """The config as mmdet's package has it.

    Raises:
        ConfigError: it isn't there.
    """
    package = find_spec("mmdet")
    for place in (package.submodule_search_locations or ()) if package else ():
        if (path := Path(place) / ".mim/configs" / ORIGINAL).is_file():
            return path
    raise ConfigError(
        f"mmdet/.mim/configs/{ORIGINAL}: no such file, expected it in the package mmdet: pip install mmdet"
    )


@dataclass(frozen=True)
class RtmDet:
    """RTMDet-tiny for the films of `folds`.

    Attributes:
        folds: The films.
        side: Side of the network's input, px.
        seed: Seed of the training.
        rate: Learning rate; by default the original one for 256 films, in proportion to a batch of 8.
    """

    folds: Folds
    side: int
    seed: int = 0
    rate: float = RATE * BATCH / FILMS
    model: str = "rtmdet_tiny"

    def settings(self) -> dict[str, object]:
        """What is to be the same when a training is carried on."""
        own = dict(config=ORIGINAL, side=self.side, batch=BATCH, seed=self.seed, rate=self.rate)
        return dict(own, sided=self.folds.sided)

    def prepare(self, part: Part, folder: Path) -> None:
        """Nothing: films and labels are read where they are."""

    def config(self, part: Part, epochs: int, probe: bool = False) -> Config:
        """The original config for these films, `epochs` and a batch of 8.

        Warm-up and last epochs (without mosaic) follow the length of the training.
        """
        cfg = Config.fromfile(original())
        steps = epochs * -(-len(read_json(part.train, "a COCO file")["images"]) // BATCH)
        last = 0 if probe else max(1, round(LAST / EPOCHS * epochs))
        model = cfg.model
        model.backbone.init_cfg = None  # weights of ImageNet
        for each in (model.backbone, model.neck, model.bbox_head):
            each.norm_cfg = dict(type="BN")  # SyncBN needs several GPUs
        model.bbox_head.num_classes = len(self.folds.classes)
        model.test_cfg.nms.iou_threshold = NMS
        model.test_cfg.score_thr = 0.0  # the best boxes count whatever they score, as hipdet's
        stage = next(hook for hook in cfg.custom_hooks if hook["type"] == "PipelineSwitchHook")
        pipelines = [self._steps(each) for each in (cfg.train_pipeline, stage.switch_pipeline, cfg.test_pipeline)]
        average = next(hook for hook in cfg.custom_hooks if hook["type"] == "EMAHook")
        switch = dict(stage, switch_epoch=epochs - last, switch_pipeline=pipelines[1])
        hooks = [dict(type="SafeCheckpointHook"), dict(type="ReportHook")]  # without which hipdet doesn't test
        cfg.custom_hooks = [average, *hooks, *([switch] if last else [])]
        cfg.custom_imports = dict(imports=["hipdet.plugin"], allow_failed_imports=False)
        cfg.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.train_dataloader = self._loader(part.train, pipelines[0], shuffle=True)
        cfg.test_dataloader = self._loader(part.test, pipelines[2], shuffle=False)
        cfg.test_evaluator = [dict(each, ann_file=str(part.test.resolve())) for each in self.folds.evaluators]
        cfg.optim_wrapper.optimizer.lr = self.rate
        warm, fall = cfg.param_scheduler
        half = max(epochs // 2, 1)
        warm.end = min(WARM_UP, -(-steps // 10))
        fall.update(eta_min=self.rate / 20, begin=epochs - half, end=epochs, T_max=half)
        cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=epochs, max_keep_ckpts=1)
        cfg.randomness = dict(seed=self.seed)
        for name in (
            "tta_model",
            "tta_pipeline",
            "img_scales",
            "train_pipeline",
            "train_pipeline_stage2",
            "test_pipeline",
        ):
            cfg._cfg_dict.pop(name, None)  # of the original size
        return cfg

    def train(self, part: Part, folder: Path, epochs: int, probe: bool = False) -> Used:
        """Train in `folder`; a `probe` only measures epochs, which are all as most epochs of a long training."""
        write_text(folder / CONFIG, self.config(part, epochs, probe).pretty_text)
        return self._run(TRAIN, [folder / CONFIG, "--work-dir", folder / "train"], folder / "train.log")

    def test(self, part: Part, folder: Path) -> None:
        """Test the last epoch on the films that were left out: ``test/test.roi.json``."""
        checkpoint = Path((folder / "train/last_checkpoint").read_text(encoding="utf-8").strip())
        self._run(TEST, [folder / CONFIG, checkpoint, "--work-dir", folder / "test"], folder / "test.log")

    @staticmethod
    def _run(program: Sequence[str], arguments: Sequence[object], log: Path) -> Used:
        return run(
            [sys.executable, *program, *arguments], log, {"PYTHONWARNINGS": "ignore::FutureWarning"}
        )  # of each step

    def _steps(self, pipeline: Sequence[Any]) -> list[dict[str, Any]]:
        """The steps of `pipeline` for this side: films are read as by hipdet, and not mirrored if classes have sides."""
        found = []
        for step in map(dict, pipeline):
            if step["type"] == "LoadImageFromFile":
                step = dict(LOADED)
            if step["type"] == "RandomFlip" and self.folds.sided:
                continue
            for key in SIZES & step.keys():
                step[key] = tuple(value * self.side // SIDE for value in step[key])
            found.append(step)
        return found

    def _loader(self, ann_file: Path, pipeline: Sequence[dict[str, Any]], shuffle: bool) -> dict[str, Any]:
        films = dict(
            type="RoiDataset",
            data_root=str(self.folds.data_root.resolve()),
            ann_file=str(ann_file.resolve()),
            data_prefix=dict(img=""),
            metainfo=dict(classes=tuple(self.folds.classes), palette=None),
            pipeline=list(pipeline),
            **(dict(filter_cfg=dict(filter_empty_gt=False)) if shuffle else dict(test_mode=True)),
        )
        return dict(
            batch_size=BATCH, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=shuffle), dataset=films
        )

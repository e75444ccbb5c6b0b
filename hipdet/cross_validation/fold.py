"""One training of a variant on one fold, and its test on the fold left out: done, or carried on with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from hipdet.checkpoint import read_checkpoint
from hipdet.cli.mm_arguments import use_annotations
from hipdet.cli.tool_process import run_tool
from hipdet.cross_validation.variant import Variant
from hipdet.errors import ConfigError
from hipdet.files import write_json, write_text
from hipdet.safe_settings import require_writable

CONFIG, INPUTS, RECORD = "config.py", "inputs.json", "record.json"
TABLE = "test/test.roi.json"


@dataclass(frozen=True)
class Fold:
    """A fold of a variant, in a folder of its own.

    Attributes:
        variant: What is trained.
        number: Of the fold, from 0.
        seed: Of weights, order of films and augmentation.
        folder: For everything that it writes.
        data_root: Folder that the films' names start from.
        train, test: COCO files.
    """

    variant: Variant
    number: int
    seed: int
    folder: Path
    data_root: Path
    train: Path
    test: Path

    def config(self, base: Config) -> Config:
        """`base` with the settings of the variant and the films of the fold; the last epoch is the result.

        Raises:
            ConfigError: a `base` that takes its films from several files.
        """
        cfg = Config(base.to_dict())
        cfg.merge_from_dict(dict(self.variant.options))
        for part, file in (("train", self.train), ("val", self.test), ("test", self.test)):
            use_annotations(cfg, part, str(file.resolve()))
            cfg[f"{part}_dataloader"].dataset.data_root = str(self.data_root.resolve())
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=self.seed)
        cfg.default_hooks.checkpoint.update(interval=5, max_keep_ckpts=2, save_best=None, save_last=True)
        cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs  # nothing is chosen by what is left out
        return cfg

    def run(self, base: Config, tools: Path) -> bool:
        """Train, resuming what was interrupted, then test; ``record.json`` comes last.

        Args:
            base: Config that the variant is applied to.
            tools: Folder of ``train.py`` and ``test.py``.

        Returns:
            Whether there was something to do.

        Raises:
            ConfigError: the folder holds a training with other settings or films.
            ToolError: training or testing failed.
        """
        cfg = self.config(base)
        self._claim(cfg)
        if (self.folder / RECORD).is_file():
            return False
        title, epochs = f"{self.variant.name}, fold {self.number}", cfg.train_cfg.max_epochs
        checkpoint = self.folder / f"epoch_{epochs}.pth"
        if not checkpoint.is_file():
            arguments = [self.folder / CONFIG, "--work-dir", self.folder, "--resume"]
            run_tool(tools / "train.py", arguments, 1, self.folder / "train.log", title, epochs)
        arguments = [self.folder / CONFIG, checkpoint, "--work-dir", (self.folder / TABLE).parent]
        run_tool(tools / "test.py", arguments, 1, self.folder / "test.log", f"{title}, test")
        report = json.loads((self.folder / "test/test_report.json").read_text(encoding="utf-8"))
        facts = {name: report[name] for name in ("parameters", "versions", "figures")}
        write_json(self.folder / RECORD, dict(seconds=read_checkpoint(checkpoint)["meta"]["seconds"], **facts))
        return True

    def _claim(self, cfg: Config) -> None:
        """Write config and inputs into a new folder; refuse one that holds another training."""
        require_writable(cfg.to_dict())
        text = cfg.pretty_text
        for place in (self.train, self.test, self.data_root):  # where they lie may change
            text = text.replace(str(place.resolve()), place.name)
        inputs = dict(
            config=fingerprint(text.encode()), films=[fingerprint(f.read_bytes()) for f in (self.train, self.test)]
        )
        path = self.folder / INPUTS
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else inputs
        differ = [name for name in inputs if found.get(name) != inputs[name]]
        if differ:
            raise ConfigError(
                f"{self.folder}: holds a training with other settings ({', '.join(differ)} differ); choose another --out or "
                f"another name for the variant, give the same settings, or remove the folder to train it anew"
            )
        write_text(self.folder / CONFIG, cfg.pretty_text)
        write_json(path, inputs)


def fingerprint(content: bytes) -> str:
    """SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()

"""Hooks for checkpoints: torch's safe loader reads them, they delete no foreign file, and their weights fit the model."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner, find_latest_checkpoint

from hipdet.core.errors import CheckpointError
from hipdet.core.records import finite, plain
from hipdet.engine.checkpoint import state_dict_faults
from hipdet.engine.private import loaded_from, resumes, trains

SCORE, BEST, KEPT = "best_score", "best_ckpt", "keep_ckpt_ids"  # mmengine's words
MOST_KEPT = 10_000


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Keeps out of checkpoints what the safe loader refuses, and lets a run resume only harmless records.

    mmengine 0.10.7 writes its ``message_hub`` into every checkpoint: logged values, which torch >= 2.6 doesn't load
    (docs/method.md, "Versions"), and paths of files, which it deletes after a better checkpoint.  This hook keeps only the
    best scores, the base names of the best checkpoints and the numbers of the epochs on disk.  Smoothed values in the log
    start from scratch after resuming.

    A run that resumes from its own folder continues with all of these records, in another folder with the best score alone,
    so the files of both are kept.  Only files in this run's folder with the names of its checkpoints can be deleted.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Reduce the message hub, and convert numpy's numbers to Python's."""
        checkpoint["message_hub"] = _message_hub(records(checkpoint["message_hub"]["runtime_info"]))
        checkpoint["meta"] = plain(checkpoint["meta"])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what mmengine is about to resume.

        Raises:
            CheckpointError: a record has another type than mmengine writes.
        """
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        info: dict[str, Any] = {}
        if resumes(runner) and len(hooks) == 1:  # two hooks would mix up the same records
            source = loaded_from(runner) or find_latest_checkpoint(runner.work_dir)
            info = self._resumed(runner, hooks[0], checkpoint.get("message_hub"), Path(source))
        checkpoint["message_hub"] = _message_hub(info)

    def _resumed(self, runner: Runner, hook: CheckpointHook, hub: Any, source: Path) -> dict[str, Any]:
        found = hub.get("runtime_info") if isinstance(hub, Mapping) else None
        if not isinstance(found, Mapping):
            raise _fault(source, "runtime_info", "a dict", found)
        folder = Path(runner.work_dir)
        if hook.out_dir is not None and hook.out_dir != runner.work_dir:
            folder = Path(hook.out_dir, folder.name)  # as CheckpointHook.before_train does
        own = os.path.realpath(source.parent) == os.path.realpath(folder)
        resumed: dict[str, Any] = {}
        indicators = hook.key_indicators if hook.save_best else []
        for indicator in indicators:
            end = "" if len(indicators) == 1 else f"_{indicator}"
            score, name = _best(found, end, source)
            if score is None:
                continue
            if name is not None and not is_best_name(name, indicator, hook.filename_tmpl):
                runner.logger.warning(
                    f"{source}: its best checkpoint {name!r} isn't by {indicator}: the best score starts from scratch"
                )
                continue
            resumed[SCORE + end] = score
            if name is not None and own and (folder / name).is_file():
                resumed[BEST + end] = str(folder / name)
            else:
                runner.logger.info(
                    f"Best {indicator} so far: {score:.4f}, of a checkpoint that isn't in this folder ({name})"
                )
        kept = _kept(found, source)
        if own and hook.max_keep_ckpts > 0:
            names = {number: hook.filename_tmpl.format(number) for number in kept}
            resumed[KEPT] = [number for number, name in names.items() if (folder / name).is_file()]
            if resumed[KEPT]:
                runner.logger.warning(
                    f"{', '.join(names[number] for number in resumed[KEPT])}: deleted as new checkpoints are written, as "
                    f"max_keep_ckpts={hook.max_keep_ckpts} keeps the last ones; copy them if you need them"
                )
        return resumed


def records(info: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a message hub's ``runtime_info`` that checkpoints keep: numbers and file names, no folders."""
    kept: dict[str, Any] = {}
    for key, value in info.items():
        if key.startswith(SCORE) and math.isfinite(value):
            kept[key] = float(value)
        elif key.startswith(BEST) and value is not None:
            kept[key] = PureWindowsPath(value).name  # handles both kinds of slashes
        elif key == KEPT:
            kept[key] = [int(number) for number in value]
    return kept


def is_best_name(name: str, indicator: str, template: str) -> bool:
    """Whether mmengine would give `name` to the best checkpoint by `indicator` (a metric, or ``auto`` for any)."""
    endings = [template.format(int(number)) for number in re.findall("[0-9]{1,18}", name)]
    if indicator == "auto":
        return name.startswith("best_") and any(name.endswith(f"_{end}".replace("/", "_")) for end in endings)
    return name in [f"best_{indicator}_{end}".replace("/", "_") for end in endings]


def _message_hub(info: dict[str, Any]) -> dict[str, Any]:
    return dict(log_scalars={}, runtime_info=info, resumed_keys=dict.fromkeys(info, True))


def _best(found: Mapping[str, Any], end: str, source: Path) -> tuple[float | None, str | None]:
    """Score and base name of the best checkpoint; None where they aren't recorded."""
    score, name = finite(found.get(SCORE + end)), found.get(BEST + end)
    if score is None and found.get(SCORE + end) is not None:
        raise _fault(source, SCORE + end, "a finite number", found[SCORE + end])
    if name is not None and type(name) is not str:
        raise _fault(source, BEST + end, "a file name", name)
    return score, None if name is None else PureWindowsPath(name).name


def _kept(found: Mapping[str, Any], source: Path) -> list[int]:
    value = found.get(KEPT, [])
    if type(value) not in (list, tuple) or len(value) > MOST_KEPT:
        raise _fault(source, KEPT, f"a list of at most {MOST_KEPT} numbers", value)
    if any(type(number) is not int or not 0 <= number < 2**53 for number in value):
        raise _fault(source, KEPT, "whole numbers of epochs or iterations", value)
    return list(dict.fromkeys(value))


def _fault(source: Path, key: str, expected: str, found: Any) -> CheckpointError:
    shown = repr(found)[:80] if isinstance(found, (str, float, bool)) else type(found).__name__
    return CheckpointError(
        f"{source}: can't be resumed, as its message_hub.{key} must be {expected}, found {shown}. "
        f"Resume from a checkpoint that training wrote, or start a new training from its weights with "
        f"--cfg-options load_from={source}"
    )


@HOOKS.register_module()
class MatchingCheckpointHook(Hook):
    """Refuses weights of another model when testing or resuming; mmengine itself only warns."""

    priority = "VERY_HIGH"  # before mmengine's EMAHook loads its part

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the weights with the model.

        Raises:
            CheckpointError: the weights are of another model.
        """
        model = getattr(runner.model, "module", runner.model)
        faults = state_dict_faults(checkpoint.get("state_dict", checkpoint), model.state_dict())
        fine_tuning = trains(runner) and not resumes(runner)
        if faults and not fine_tuning:
            raise CheckpointError(
                f"{loaded_from(runner) or 'the checkpoint'} is of another model: {faults}. "
                f"Use the config that it was trained with."
            )

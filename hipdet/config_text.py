"""Configs as text: read without running them, and made fit for other machines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import Any

from hipdet.errors import ConfigError

Settings = dict[str, Any]

# a path within other text, such as --log=/home/x/log; not the rest of https://example.org/x
PATH_WITHIN = re.compile(r"""(?<=[\s=:,;'"(\[])(/(?!/)|~[/\\]|[A-Za-z]:\\)[^\s=:,;'")\]]+""")


def read_settings(text: str) -> Settings:
    """The settings of a config that mmengine dumped: ``name = value`` lines of literals and ``dict(...)``.

    Nothing in `text` is run, as it may come from anywhere.

    Raises:
        ConfigError: anything else in it.
    """
    try:
        statements = ast.parse(text).body
        return {_target(statement): _value(statement.value) for statement in statements}  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ConfigError(f"its config isn't one that mmengine dumped: {error}") from error


def portable(settings: Settings) -> Settings:
    """`settings` without the paths of this machine: films below ``data``, no folder of this run, no weights to start from."""
    roots = {root.rstrip("/") for root in _found(settings, "data_root")} - {""}
    moved: Settings = _without_paths(settings, sorted(roots, key=len, reverse=True))
    for key in ("work_dir", "launcher", "model_wrapper_cfg"):
        moved.pop(key, None)
    moved.update(load_from=None, resume=False)
    for part in (moved, moved.get("visualizer")):
        if isinstance(part, dict) and "vis_backends" in part:
            part["vis_backends"] = [dict(type="LocalVisBackend")]  # others name an account, and send films there
    _forget_weights(moved.get("model"))  # they are in the checkpoint
    return moved


def _forget_weights(part: Any) -> None:
    """Clear every ``init_cfg`` that loads weights in a part of a model, and in the parts of it."""
    if isinstance(part, dict):
        if next(_found(part.get("init_cfg"), "checkpoint"), None) is not None:
            part["init_cfg"] = None
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for each in part:
            _forget_weights(each)


def annotation_files(loader: Any) -> list[str]:
    """Names of the annotation files below a dataloader's settings, also within ``ConcatDataset`` and its like."""
    return [PureWindowsPath(name).name for name in _found(loader, "ann_file")]


def _found(value: Any, key: str) -> Iterator[str]:
    """All texts that stand under `key` at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            yield value[key]
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for item in value:
        yield from _found(item, key)


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    raise ValueError(f"line {statement.lineno} is no setting")


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
        if all(key for key, _ in pairs):  # none for dict(**other)
            return {str(key): _value(value) for key, value in pairs}
    if isinstance(node, ast.Dict) and all(node.keys):  # none for {**other}
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)


def _without_paths(value: Any, roots: list[str]) -> Any:
    if isinstance(value, dict):
        return {_without_paths(key, roots): _without_paths(item, roots) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_paths(item, roots) for item in value)
    if not isinstance(value, str):
        return value
    value = value.removeprefix("file://")
    for root in roots:
        if value == root or value.startswith(f"{root}/"):
            return "data" + value[len(root) :]
    if value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name  # it knows both kinds of slashes
    return PATH_WITHIN.sub(lambda path: PureWindowsPath(path[0]).name, value)

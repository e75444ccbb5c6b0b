"""Configs as text: read without running them, and made fit for other machines."""

from __future__ import annotations

import ast
from pathlib import PureWindowsPath
from typing import Any

from hipdet.errors import ConfigError

Settings = dict[str, Any]


def read_settings(text: str) -> Settings:
    """The settings of a config that mmengine dumped: ``name = value`` lines of literals and ``dict(...)``.

    Nothing in `text` is run, as it may come from anywhere.

    Raises:
        ConfigError: anything else in it.
    """
    try:
        statements = ast.parse(text).body
        return {_target(statement): _value(statement.value) for statement in statements}  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"its config isn't one that mmengine dumped: {error}") from error


def portable(settings: Settings) -> Settings:
    """`settings` without the paths of this machine: films below ``data``, no folder of this run, no weights to start from."""
    roots = {
        loader["dataset"]["data_root"]
        for part in ("train", "val", "test")
        if (loader := settings.get(f"{part}_dataloader")) and loader.get("dataset", {}).get("data_root")
    }
    moved: Settings = _without_paths(settings, sorted(roots, key=len, reverse=True))
    for key in ("work_dir", "launcher", "model_wrapper_cfg"):
        moved.pop(key, None)
    moved.update(load_from=None, resume=False)
    if "backbone" in moved.get("model", {}):
        moved["model"]["backbone"]["init_cfg"] = None  # the weights are in the checkpoint
    return moved


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    raise ValueError(f"line {statement.lineno} is no setting")


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)


def _without_paths(value: Any, roots: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item, roots) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_paths(item, roots) for item in value)
    if not isinstance(value, str) or "://" in value:
        return value
    for root in roots:
        if value == root or value.startswith(f"{root}/"):
            return "data" + value[len(root) :]
    absolute = value.startswith(("/", "~")) or PureWindowsPath(value).is_absolute()
    return PureWindowsPath(value).name if absolute else value  # it knows both kinds of slashes

"""Configs: read by name, as text without running them, made fit for other machines, and where they say that films are."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from hipdet.core.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config

DEFAULT = "data"  # the data root of configs: the folder in the working directory, or $HIPDET_DATA
DATA, FOLD = "HIPDET_DATA", "HIPDET_FOLD"
FOLD_PLACE = f"{{{FOLD}}}"  # in names of files


def default_root() -> str:
    """The folder of films and annotations where none is given: ``$HIPDET_DATA`` as a whole path, else ``data``."""
    root = os.environ.get(DATA)
    return os.path.abspath(root) if root else DEFAULT  # whole, as `in_place` would take data/films for one of a config


def in_place(path: str) -> str:
    """`path` of a config, a data root or what begins with one: its ``data`` is :func:`default_root`, its fold `in_fold`.

    What it gives stays as it is when it comes here again: commands put the root in place, then data sets and metrics do.

    This is done here and not by mmengine's placeholders, which paste the value into the config's source, where a folder's
    name would run.

    Raises:
        ConfigError: a ``$HIPDET_FOLD`` that isn't a number.
    """
    path = in_fold(path)
    if path == DEFAULT:
        return default_root()
    return default_root().rstrip("/") + path[len(DEFAULT) :] if path.startswith(f"{DEFAULT}/") else path


def in_fold(name: str) -> str:
    """`name` of an annotation file of a config; its ``{HIPDET_FOLD}`` is that of the environment, else 0.

    Raises:
        ConfigError: a ``$HIPDET_FOLD`` that isn't a number.
    """
    fold = os.environ.get(FOLD) or "0"
    if FOLD_PLACE in name and not (fold.isascii() and fold.isdigit()):
        raise ConfigError(f"${FOLD} is {fold!r}: expected the number of a fold, such as 0")
    return name.replace(FOLD_PLACE, fold)


def get_data_root(annotations: Path) -> Path:
    """The folder that film names of `annotations` are below: that above ``annotations/``, else the file's own."""
    folder = annotations.parent
    return folder.parent if folder.name == "annotations" else folder


def coco_file(name: Path, root: Path | None) -> Path:
    """The COCO file called `name`, under the data root or from here.

    Raises:
        ConfigError: no such file.
    """
    for path in [name] if root is None else [root / name, name]:
        if path.is_file():
            return path
    raise ConfigError(f"--ann {name}: no such file" + ("" if root is None else f", neither in {root} nor here"))


Settings = dict[str, Any]

# a path within other text, such as --log=/home/x/log; not the rest of https://example.org/x
PATH_WITHIN = re.compile(r"""(?<=[\s=:,;'"(\[])(/(?!/)|~[/\\]|[A-Za-z]:\\)[^\s=:,;'")\]]+""")

PASTED = "{{"  # mmengine pastes variables there before it runs a config


def read_settings(text: str) -> Settings:
    """The settings of a config that mmengine dumped: ``name = value`` lines of literals and ``dict(...)``.

    Nothing in `text` is run, as it may come from anywhere.

    Raises:
        ConfigError: anything else in it.
    """
    settings: Settings = {}
    try:
        for statement in _DictCalls().visit(ast.parse(text)).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    settings[name] = ast.literal_eval(value)
                case _:
                    raise ValueError(f"line {statement.lineno} is no setting")
        return settings
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ConfigError(f"its config isn't one that mmengine dumped: {error}") from error


class _DictCalls(ast.NodeTransformer):
    """``dict(a=1)`` as ``{"a": 1}``, a literal."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        named = all(keyword.arg for keyword in node.keywords)  # not so in dict(**other)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args or not named:
            return node
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


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


WIDTH = 116
ANYWHERE = -sys.maxsize  # so far to the left that no line is too long


class Name(str):
    """A text that is source, such as the name of a variable."""


def as_source(value: Any, indent: int = 0, used: int = 0) -> str:
    """`value` as ``dict(...)``, lists, tuples and literals; broken into lines where it is too long.

    Args:
        value: Literals, or :class:`Name`; keys of dictionaries are identifiers, or ``**`` for another one's content.
        indent: Of the line that it begins on.
        used: Characters before it on that line, the indent included.
    """
    if not isinstance(value, (Mapping, list, tuple)):
        return str(value) if isinstance(value, Name) else repr(value)
    if isinstance(value, Mapping):
        items = [(key if key == "**" else f"{key}=", item) for key, item in value.items()]
        opening, closing = "dict(", ")"
    else:
        items = [("", item) for item in value]
        opening, closing = "[]" if isinstance(value, list) else "()"
    line = ", ".join(name + as_source(item, used=ANYWHERE) for name, item in items)
    line += "," if isinstance(value, tuple) and len(value) == 1 else ""
    if used + len(opening + line + closing) <= WIDTH or not items:
        return opening + line + closing
    inner = indent + 4
    lines = [f"{' ' * inner}{name}{as_source(item, inner, inner + len(name) + 1)},\n" for name, item in items]
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


PACKAGE = Path(__file__).resolve().parents[1]
PLACES = (Path(), PACKAGE.parent, PACKAGE / ".mim")  # of configs: the working directory, a clone, an installed package


def read_config(name: str, components: bool = True) -> Config:
    """The config at `name`, relative to the working directory, the clone or the installed package.

    Args:
        name: Path such as ``configs/hip_ssd_exp3.py``.
        components: Also import what it registers; without, neither torch nor mmdet is loaded.

    Raises:
        ConfigError: a config that isn't there.
    """
    from mmengine.config import Config  # here: it imports torch, and who reads anchors or plain texts needs none

    path = next((path for place in PLACES if (path := place / name).is_file()), None)
    if path is None:
        known = next((place / "configs" for place in PLACES[1:] if (place / "configs").is_dir()), "configs")
        raise ConfigError(f"{name}: no such config; see {known}")
    root = os.environ.get(DATA)
    try:
        if (
            root
        ):  # mmengine pastes it into configs that have it as a placeholder, where it would run: `in_place` is safe
            os.environ[DATA] = DEFAULT
        return Config.fromfile(path, import_custom_modules=components)
    finally:
        if root:
            os.environ[DATA] = root

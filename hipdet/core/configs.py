"""Configs: opened by name, parsed without running them, freed of this machine's paths; and where their data root is."""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from hipdet.core.errors import ConfigError, StorageError
from hipdet.core.files import stored_in

if TYPE_CHECKING:
    from mmengine.config import Config

DEFAULT = "data"  # the data root in configs: a folder in the working directory, or $HIPDET_DATA
DATA = "HIPDET_DATA"


def default_root() -> str:
    """The default folder of films and annotations: ``$HIPDET_DATA`` as an absolute path, else ``data``."""
    root = os.environ.get(DATA)
    return os.path.abspath(root) if root else DEFAULT  # absolute, as `in_place` would change data/films again


def in_place(path: str) -> str:
    """Replace ``data`` at the start of a config's `path` by :func:`default_root`.

    A second call changes nothing: commands call it first, and data sets and metrics call it again.

    mmengine's own placeholders aren't used, as they paste the value into the config's source, where a folder's name would
    be run as code.
    """
    if path == DEFAULT:
        return default_root()
    return default_root().rstrip("/") + path[len(DEFAULT) :] if path.startswith(f"{DEFAULT}/") else path


def get_data_root(annotations: Path) -> Path:
    """The folder that film names in the file `annotations` start from: the parent of ``annotations/``, or the file's own."""
    folder = annotations.parent
    return folder.parent if folder.name == "annotations" else folder


def coco_file(name: Path, root: Path | None) -> Path:
    """The COCO file `name`, searched for in the data root, then in the working directory.

    Raises:
        ConfigError: no such file.
    """
    for path in [name] if root is None else [root / name, name]:
        if path.is_file():
            return path
    raise ConfigError(f"--ann {name}: no such file" + ("" if root is None else f" in {root} or the working directory"))


Settings = dict[str, Any]

# a path within other text, such as --log=/home/x/log; not the rest of https://example.org/x
PATH_WITHIN = re.compile(r"""(?<=[\s=:,;'"(\[])(/(?!/)|~[/\\]|[A-Za-z]:\\)[^\s=:,;'")\]]+""")

PASTED = "{{"  # mmengine replaces what follows by a variable before it runs a config


def read_settings(text: str) -> Settings:
    """Parse a config that mmengine dumped: ``name = value`` lines of literals and ``dict(...)``.

    Nothing in `text` is run, as it may come from an untrusted source.

    Raises:
        ConfigError: `text` has anything else.
    """
    settings: Settings = {}
    try:
        for statement in _DictCalls().visit(ast.parse(text)).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    settings[name] = ast.literal_eval(value)
                case _:
                    raise ValueError(f"line {statement.lineno} isn't a setting: expected name = value")
        return settings
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ConfigError(f"its config isn't one that mmengine dumped ({error})") from error


class _DictCalls(ast.NodeTransformer):
    """Turns ``dict(a=1)`` into the literal ``{"a": 1}``, and ``dict({"a b": 1})``, of keys that are no names, likewise."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "dict":
            return node
        if len(node.args) == 1 and isinstance(node.args[0], ast.Dict) and not node.keywords:
            return node.args[0]
        if node.args or not all(keyword.arg for keyword in node.keywords):  # dict(**other)
            return node
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def portable(settings: Settings) -> Settings:
    """`settings` without this machine's paths: films below ``data``, no work folder, no weights to start from."""
    roots = {root.rstrip("/") for root in _found(settings, "data_root")} - {""}
    moved: Settings = _without_paths(settings, sorted(roots, key=len, reverse=True))
    for key in ("work_dir", "launcher", "model_wrapper_cfg"):
        moved.pop(key, None)
    moved.update(load_from=None, resume=False)
    for part in (moved, moved.get("visualizer")):
        if isinstance(part, dict) and "vis_backends" in part:
            part["vis_backends"] = [dict(type="LocalVisBackend")]  # others name an account and upload films
    _forget_weights(moved.get("model"))  # the checkpoint has all weights
    return moved


def _forget_weights(part: Any) -> None:
    """Clear every ``init_cfg`` that loads weights, in `part` of a model and in all parts below it."""
    if isinstance(part, dict):
        if next(_found(part.get("init_cfg"), "checkpoint"), None) is not None:
            part["init_cfg"] = None
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for each in part:
            _forget_weights(each)


def annotation_files(loader: Any) -> list[str]:
    """Names of all annotation files in a dataloader's settings, including those inside wrappers such as ``ConcatDataset``."""
    return [PureWindowsPath(name).name for name in _found(loader, "ann_file")]


def _found(value: Any, key: str) -> Iterator[str]:
    """All strings under `key`, at any depth of `value`."""
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
ANYWHERE = -sys.maxsize  # as `used`: the value always stays on one line


class Name(str):
    """Source code that is written without quotes, such as the name of a variable."""


def as_source(value: Any, indent: int = 0, used: int = 0) -> str:
    """Source code of `value` with ``dict(...)``, lists, tuples and literals; too long a line is broken.

    Args:
        value: Literals, or :class:`Name`; dictionary keys are identifiers, or ``**`` to unpack another dictionary.
        indent: Spaces at the start of the line that the value begins on.
        used: Characters before the value on that line, including the indent.
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
PLACES = (Path(), PACKAGE.parent, PACKAGE / ".mim")  # where configs are: working directory, clone, package


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise StorageError(
            f"{error.strerror}: free some space, or set TMPDIR to a folder that can be written"
        ) from error


def read_config(name: str, components: bool = True) -> Config:
    """Load the config at `name`, relative to the working directory, the clone or the installed package.

    Args:
        name: Path such as ``configs/hip_ssd_exp3.py``.
        components: Also run its ``custom_imports``, which register components; if not, mmdet isn't loaded.

    Raises:
        ConfigError: no such config.
    """
    from mmengine.config import Config  # here, because it imports torch, which plain text and anchors don't need

    path = next((path for place in PLACES if (path := place / name).is_file()), None)
    if path is None:
        known = next((place / "configs" for place in PLACES[1:] if (place / "configs").is_dir()), "configs")
        raise ConfigError(f"{name}: no such config: choose one in {known}")
    root = os.environ.get(DATA)
    try:
        if root:  # mmengine would paste it into a config that has it as a placeholder, and run it; `in_place` doesn't
            os.environ[DATA] = DEFAULT
        with stored_in(_temporary_folder()):  # where mmengine writes a copy of it
            return Config.fromfile(path, import_custom_modules=components)
    finally:
        if root:
            os.environ[DATA] = root

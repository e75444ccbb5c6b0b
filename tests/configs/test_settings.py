"""What the configs give is pinned, and they are written as mmdet writes its own: settings in sight, no code.

Cross-validations and experiments are keyed by every setting of their config, helper variables such as ``films`` too: after
a change here, folders of trainings that were begun before are refused (``hipdet.core.resumable``).
"""

import ast
import json

import pytest
from mmengine.config import Config

from config_lines import config_lines
from places import REPOSITORY

# config -> the one that it is like, its lines that aren't here, and the lines that are here besides
PINNED = json.loads((REPOSITORY / "tests/configs/settings.json").read_text())
CONFIGS = sorted((REPOSITORY / "configs").glob("*.py"))
FILES = sorted((REPOSITORY / "configs").rglob("*.py"))
PLAIN = (
    *(ast.Assign, ast.Constant, ast.List, ast.Tuple, ast.Name, ast.Attribute, ast.keyword),
    *(ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Starred, ast.Load, ast.Store, ast.Module),
)


def pinned_lines(name):
    entry = PINNED[name]
    inherited = set(pinned_lines(entry["like"])) if "like" in entry else set()
    assert inherited >= set(entry.get("without", []))
    return sorted(inherited - set(entry.get("without", [])) | set(entry["with"]))


def test_all_are_pinned():
    assert sorted(PINNED) == [path.stem for path in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_gives_what_it_gave(path):
    found, pinned = config_lines(Config.fromfile(path).to_dict()), pinned_lines(path.stem)
    differences = sorted(
        {f"- {line}" for line in set(pinned) - set(found)} | {f"+ {line}" for line in set(found) - set(pinned)}
    )
    assert not differences, "\n".join(["tests/configs/settings.json differs:", *differences])


def code_in(text):
    """What in the source of a config is more than settings, names, ``_base_.x``, ``dict(...)`` and ``a + b``."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
            continue
        if not isinstance(node, PLAIN):
            found.append(f"{type(node).__name__}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_is_plain(path):
    assert code_in(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import os", "Import"),
        ("from hipdet.paper.facts import settings", "ImportFrom"),
        ("globals().update(a=1)", "Expr"),
        ("scales = [x / 2 for x in range(3)]", "ListComp"),
        ("path = f'{root}/films'", "JoinedStr"),
        ("path = dict([('a', 1)])", "Call"),
        ("hooks = _base_.custom_hooks[1:]", "Subscript"),
    ],
)
def test_code_is_found(text, kind):
    assert code_in(text)[0].startswith(kind)

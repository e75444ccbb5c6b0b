"""Which settings may come with weights or data: none that name a program, a module or a file for mmengine to run.

mmengine builds what ``type`` names, and imports names that no registry has: ``type='subprocess.check_output'`` is a call.
Some registered classes run strings or load other files.  A config that the user wrote is the user's own program and isn't
checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from hipdet.core.configs import PASTED, Settings, read_settings
from hipdet.core.errors import ConfigError
from hipdet.core.records import shown

PACKAGES = ("hipdet", "mmdet", "mmcv", "mmengine", "torch")  # whose classes settings may name
SCOPES = ("mmdet", "mmengine")
IMPORTS = ("hipdet", "hipdet.plugin", "mmdet")
# looked up in mmcv.ops by their name, not in a registry
OPERATORS = frozenset({"nms", "soft_nms", "RoIAlign", "RoIPool"})
# keys whose strings mmengine and mmcv look up in a registry
NAMING = frozenset({"type", "ema_type", "resize_type", "conv_type", "runner_type", "constructor", "collate_fn"})
SCOPING = frozenset({"default_scope", "_scope_"})
# classes that run a string, unpickle a file, read another config, download code, empty a folder or send films to a server
REFUSED = frozenset({
    "CameraMotionCompensation", "RFSearchHook",
    "KnowledgeDistillationSingleStageDetector", "LAD",
    "OpenImagesDataset", "OpenImagesChallengeDataset", "RefCocoDataset",
    "CityScapesMetric", "MOTChallengeMetric",
    "BertModel", "GLIP", "GroundingDINO", "ATSSVLFusionHead", "RandomSamplingNegPos", "LoadTextAnnotations",
    "WandbVisBackend", "MLflowVisBackend", "ClearMLVisBackend", "NeptuneVisBackend", "DVCLiveVisBackend", "AimVisBackend",
})  # fmt: skip
FILES_THAT_RUN = re.compile(r"\.(py|pyc|pkl|pickle|ya?ml|np[yz])$", re.IGNORECASE)
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
DATA_FILE = re.compile(r"\.(json|pth|safetensors|onnx|csv|txt|jpe?g|png|tiff?|dcm)$", re.IGNORECASE)
UNQUOTABLE = re.compile(r"""['"\\{}]""")  # mmengine quotes keys without escaping them


def require_safe(settings: Settings) -> None:
    """Check that mmengine can build `settings` without running anything outside the model zoo.

    Raises:
        ConfigError: a setting isn't safe; the message names it, its value and what is allowed.
    """
    for place, key, value in _walk(settings):
        if reason := _fault(place, key, value):
            raise ConfigError(f"{place} is {shown(value)}, which isn't allowed to come with weights or data: {reason}")


def require_writable(settings: Settings) -> None:
    """Check that mmengine can write `settings` and read the same back: names of folders and classes come with the data.

    Raises:
        ConfigError: a setting can't be written; the message names it and its value.
    """
    for place, key, value in _walk(settings):
        if reason := _unwritable(value, is_key=key is None):
            raise ConfigError(f"{place} is {shown(value)}, which a config can't hold: {reason}; choose another name")


def safe_text(settings: Settings) -> str:
    """`settings` as a config in mmengine's own format, which gives these settings and runs nothing.

    Raises:
        ConfigError: the settings are unsafe, or can't be written this way.
    """
    from mmengine.config import Config

    require_safe(settings)
    text: str = Config(settings).pretty_text
    if read_settings(text) != settings:
        raise ConfigError("mmengine can't write these settings and read the same back")
    return text


def rewritten(text: str) -> str:
    """The settings in `text` as new source, if they are safe; no part of `text` itself.

    Raises:
        ConfigError: `text` holds anything but settings, or they are unsafe.
    """
    settings = read_settings(text)
    require_safe(settings)
    return "".join(f"{key} = {value!a}\n" for key, value in settings.items())


def _walk(value: Any, place: str = "", key: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Place, key and value of everything in `value`; items of a list have the list's key, and keys have None."""
    if place:
        yield place, key, value
    if isinstance(value, Mapping):
        for name, item in value.items():
            within = f"{place}.{name}" if place else str(name)
            yield within, None, name
            yield from _walk(item, within, name)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _walk(item, f"{place}[{index}]", key)


def _fault(place: str, key: Any, value: Any) -> str:
    """Why `value` isn't allowed for `key`; empty if it is allowed.  ``key`` is None if `value` is itself a key."""
    if key is None:
        return _key_fault(value)
    if key == "custom_imports":
        return _imports_fault(value) if value and place == "custom_imports" else ""
    if place.startswith("custom_imports."):
        return ""  # its parts were checked
    if key == "type" or (key in NAMING and isinstance(value, str)):
        return _name_fault(value)
    if key in SCOPING and value is not None and value not in SCOPES:
        return f"a scope must be one of {', '.join(SCOPES)}"
    return _text_fault(value) if isinstance(value, str) else ""


def _key_fault(key: Any) -> str:
    if not isinstance(key, (str, int, float)):
        return "a key must be a string or a number"
    if key in ("_base_", "teacher_config"):
        return "another config isn't read"
    if key == "collect_dir":
        return "metrics unpickle the files in this folder, and remove it"
    return _unwritable(key, is_key=True)


def _imports_fault(value: Any) -> str:
    modules = value.get("imports") if isinstance(value, Mapping) else None
    modules = [modules] if isinstance(modules, str) else modules
    known = isinstance(modules, (list, tuple)) and all(module in IMPORTS for module in modules)
    flags = set(value) <= {"imports", "allow_failed_imports"} if isinstance(value, Mapping) else False
    return "" if known and flags else f"custom_imports may only name {', '.join(IMPORTS)}"


def _name_fault(value: Any) -> str:
    allowed = "only names that hipdet, mmdet, mmcv, mmengine, torch.nn or torch.optim register are allowed"
    if not isinstance(value, str):
        return f"{allowed}, as strings"
    scope, dot, name = value.rpartition(".")
    if dot and scope not in SCOPES:
        return f"{allowed}, never a module path"
    if name in REFUSED:
        return "it runs strings or other files, empties folders, or sends films to a server"
    if name not in registered_names() and name not in OPERATORS:
        return allowed
    # if the registry in use lacks the name, mmengine imports a module of this name
    return "a module of this name can be imported" if _importable(name) else ""


def _text_fault(text: str) -> str:
    if reason := _unwritable(text):
        return reason
    if FILES_THAT_RUN.search(text.split("?")[0].strip()):
        return "files of this kind can run code when they are read"
    if DOTTED.fullmatch(text) and not DATA_FILE.search(text) and _importable(text.partition(".")[0]):
        return "a module path can be a call"
    return ""


def _unwritable(value: Any, is_key: bool = False) -> str:
    if not isinstance(value, str):
        return ""
    if PASTED in value:
        return f"mmengine substitutes variables at {PASTED!r}"
    if is_key and (UNQUOTABLE.search(value) or not value.isprintable()):
        return "a key must not have quotes, backslashes, braces or line breaks"
    return ""


@lru_cache(maxsize=1)
def registered_names() -> frozenset[str]:
    """Names that the packages of the model zoo have registered, in any registry."""
    import mmdet.registry
    import mmengine.registry
    from mmengine.registry import Registry

    import hipdet.plugin  # noqa: F401

    nodes = [node for module in (mmengine.registry, mmdet.registry) for node in vars(module).values()]
    registries = [node for node in nodes if isinstance(node, Registry)]
    for registry in registries:
        registry.import_from_location()
    found = [item for registry in registries for item in registry.module_dict.items()]
    return frozenset(name for name, part in found if str(getattr(part, "__module__", "")).partition(".")[0] in PACKAGES)


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # such as __main__
        return True

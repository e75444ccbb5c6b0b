"""Names of the classes of a YOLO data set: ``classes.txt``, ``obj.names`` or ``data.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hipdet.labels.fault import LabelFault
from hipdet.labels.label_file import decoded
from hipdet.labels.values import field, label_name, mapping, shown

TEXTS = ("classes.txt", "obj.names", "predefined_classes.txt")
YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
LEVELS = 4  # the folder itself and three above: data/labels/train/a.txt with data/data.yaml
MAX_BYTES = 1 << 20
# what PyYAML raises on odd values, over and above its own errors
_YAML_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def find_classes(folder: Path) -> tuple[str, ...]:
    """The classes from the nearest folder that has them, `folder` or above.

    Raises:
        LabelFault: none found, a broken file, or two files in one folder that differ.
    """
    for place in [folder.absolute(), *folder.absolute().parents][:LEVELS]:
        paths = [place / name for name in (*TEXTS, *YAMLS) if (place / name).is_file()]
        found = {path.name: read_classes(path) for path in paths}
        if len(set(found.values())) > 1:
            raise LabelFault(f"{' and '.join(found)} in {place} differ, expected the same classes: remove one")
        if found:
            return next(iter(found.values()))
    raise LabelFault("no names of classes: put classes.txt beside it, a name a line, or give classes=")


def read_classes(path: Path) -> tuple[str, ...]:
    """Names by index; other contents of a data.yaml, such as paths, are passed over.

    Raises:
        LabelFault: unreadable, no names, or one that stands twice.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelFault(f"larger than {MAX_BYTES} bytes, expected the names of classes")
        text = decoded(path.read_bytes())
        names = _yaml_names(text) if path.name in YAMLS else [line for line in text.split("\n") if line.strip()]
        classes = tuple(label_name(name, f"class {index}") for index, name in enumerate(names))
        if not classes or len(set(classes)) < len(classes):
            raise LabelFault(f"classes are {shown(list(classes))}, expected at least one, each once")
    except OSError as error:
        raise LabelFault(f"{path}: can't be read: {error.strerror or error}") from error
    except LabelFault as fault:
        raise LabelFault(f"{path}: {fault}") from fault
    return classes


def _yaml_names(text: str) -> list[Any]:
    """``names`` of a data.yaml: a list, or an object by index."""
    try:
        import yaml
    except ImportError as error:
        raise LabelFault("needs PyYAML: pip install pyyaml, or write the names into classes.txt") from error
    try:
        document = yaml.safe_load(text)
    except (*_YAML_ERRORS, yaml.YAMLError) as error:
        raise LabelFault(f"not YAML ({' '.join(str(error).split())[:200]}): mend it") from error
    names = field(mapping(document, "the file"), "names")
    if isinstance(names, list):
        return names
    by_index: dict[Any, Any] = mapping(names, "names")  # YAML's keys may be numbers
    if set(by_index) != set(range(len(by_index))):
        raise LabelFault(f"names are numbered {shown(list(by_index))}, expected 0, 1, 2 ...")
    return [by_index[index] for index in range(len(by_index))]

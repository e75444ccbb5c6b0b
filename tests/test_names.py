"""Scripts, commands, modules and files that messages, docstrings and documents name exist."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from hipdet.cli.main import COMMANDS
from places import REPOSITORY

# these describe old names
HISTORY = {"CHANGELOG.md", "docs/upgrading.md", "tests/test_names.py", "tests/test_wheel.py"}
OLD_SCRIPTS = {
    "agreement", "annotate", "benchmark", "browse_dataset", "convert", "crop", "cross_validate", "design_anchors", "export",
    "gallery", "make_phantoms", "plot", "predict", "publish_model", "run_experiments", "split", "validate",
}  # fmt: skip
GONE = re.compile(
    # mmdet has a browse_dataset and a publish_model of its own in these folders
    rf"(?<!analysis_)tools/(?:{'|'.join(sorted(OLD_SCRIPTS))})\b|(?<!analysis_tools/)(?<!model_converters/)"
    r"\b(?:agreement|browse_dataset|design_anchors|make_phantoms|publish_model|run_experiments)(?:\.py|`)|"
    r"hipdet-(?:predict|crop|mmcv-lite)\b|\bneeds_mm\b|"
    rf"(?<![\w./-])(?:{'|'.join(sorted(OLD_SCRIPTS))})\.py\b"
)
OLD_COMMANDS = {"hipdet/cli/main.py", "setup.py", "tests/cli/test_main.py"}  # the two that remain for one version
FILE = re.compile(
    r"(?<![\w./-])(?:hipdet|benchmarks|tests|tools|configs|docs)/[\w/.-]*\w\.(?:py|sh|md|png|jpg|csv|yml)\b"
)
MODULE = re.compile(r"(?<![\w./'-])hipdet(?:\.[A-Za-z_]\w*)+")
COMMAND = re.compile(r"(?:`|^ {2}|\$ )hipdet ([a-z][a-z-]*)\b", re.MULTILINE)


def texts():
    """Name and content of every text file in the working tree, committed or not."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in done.stdout.splitlines():
        path = REPOSITORY / name
        kinds = {".py", ".md", ".yml", ".yaml", ".toml", ".sh", ".js", ".html", ""}
        if path.is_file() and path.suffix in kinds and name not in HISTORY:
            yield name, path.read_text(encoding="utf-8", errors="replace")


def in_documents():
    """As :func:`texts`, without tests."""
    return ((name, text) for name, text in texts() if not name.startswith("tests/"))


def test_no_script_or_command_that_is_gone():
    found = [(name, match[0]) for name, text in texts() for match in GONE.finditer(text)]
    assert [(name, word) for name, word in found if name not in OLD_COMMANDS] == []


def test_files_that_are_named_are_there():
    made = {"configs/none.py", "docs/conf.py"}
    found = {(name, match[0]) for name, text in in_documents() for match in FILE.finditer(text)}
    assert sorted((name, file) for name, file in found if file not in made and not (REPOSITORY / file).exists()) == []


def is_there(dotted):
    """Whether `dotted` is a module, or something inside one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_modules_that_are_named_are_there():
    endings = {"py", "md", "onnx", "json"}  # of a file called hipdet
    found = {(name, match[0]) for name, text in in_documents() for match in MODULE.finditer(text)}
    assert (
        sorted((name, dotted) for name, dotted in found if dotted.split(".")[1] not in endings and not is_there(dotted))
        == []
    )


def test_commands_that_are_named_are_there():
    known = {command.name for command in COMMANDS} | {"COMMAND"}
    found = {(name, match[1]) for name, text in in_documents() for match in COMMAND.finditer(text)}
    assert sorted((name, word) for name, word in found if word not in known) == []
    assert {word for _, word in found} >= known - {"COMMAND"}


def test_the_table_of_old_names_leads_to_modules_that_are_there():
    text = (REPOSITORY / "docs/upgrading.md").read_text()
    rows = re.findall(r"^\| (`[a-z_.`, ]+) \| `([a-z_.]+)` \|$", text.partition("## Modules")[2], re.MULTILINE)
    assert len(rows) > 100
    assert [new for _, new in rows if not is_there(f"hipdet.{new}")] == []
    old = [name.strip("` ") for names, _ in rows for name in names.split(",")]
    assert len(old) == len(set(old))
    assert [name for name in old if Path(REPOSITORY, "hipdet", *name.split(".")).with_suffix(".py").exists()] == []


def test_the_table_of_old_names_has_every_script():
    text = (REPOSITORY / "docs/upgrading.md").read_text()
    assert [name for name in OLD_SCRIPTS if f"`tools/{name}.py`" not in text] == []
    assert "`hipdet-predict`, `hipdet-crop`" in text


# words that others of docs/glossary.md took the place of; quoted, mend is a key of files
WORDS = re.compile(r"\b[Aa] ROI\b|(?<![\"`])\bmend(?:s|ed|ing)?\b(?![\"`])|comes along|\bmoot\b|stands? twice|\banew\b")


def test_words_that_are_gone():
    assert [(name, match[0]) for name, text in texts() for match in WORDS.finditer(text)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("see tools/make_phantoms.py", ["tools/make_phantoms"]),
        ("run hipdet-predict films", ["hipdet-predict"]),
        ("tools/train.py, and `publish_model`", ["publish_model`"]),
        ("tools/train.py", []),
        ("run browse_dataset.py", ["browse_dataset.py"]),
        ("mmdet's `analysis_tools/browse_dataset.py` and model_converters/publish_model.py", []),
    ],
)
def test_it_would_find_them(text, words):
    assert [match[0] for match in GONE.finditer(text)] == words

"""Links of README, CONTRIBUTING, CHANGELOG and docs lead somewhere; the reference has every module; sizes; the citation.

Sphinx checks links within docs too, but not those from outside, nor as a reader of the repository follows them.
"""

import re
from pathlib import Path

import pytest
import yaml

from hipdet.version import __version__
from places import REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in (REPOSITORY / "docs").rglob("*.md") if "_build" not in path.parts),
]
CODE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def without_code(text):
    """`text` without fenced blocks, and with inline code as empty."""
    return CODE.sub("``", text)


def slugs(path):
    """Anchors of the headings of a Markdown file, as repository hosts and MyST make them."""
    text = re.sub(r"^(`{3,})[^\n]*\n.*?^\1 *$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path, text=None):
    """Relative links of the document `path` to files or headings that aren't there."""
    broken = []
    for link in LINK.findall(without_code(path.read_text(encoding="utf-8") if text is None else text)):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        file = (path.parent / name).resolve() if name else path
        found = file.is_file() and (not anchor or (file.suffix == ".md" and anchor in slugs(file)))
        broken += [] if found else [link]
    return broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/none.md)", ["docs/none.md"]),
        ("[a](CHANGELOG.md#none)", ["CHANGELOG.md#none"]),
        ("![a](none.png) [b](#none)", ["none.png", "#none"]),
        ("[a](https://none.example/x.md) [b](#limits) `[c](none.md)` [d](docs/index.md)", []),
    ],
)
def test_broken_links_would_be_found(text, expected):
    assert broken_links(REPOSITORY / "README.md", text) == expected


def test_sections_that_code_cites_are_there():
    files = [path for folder in ("hipdet", "configs", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")]
    cited = [(path, each) for path in files for each in re.findall(r'(docs/[\w/]+\.md)`*, "([^"]+)"', path.read_text())]
    assert len(cited) >= 10
    for path, (name, heading) in cited:
        assert heading.lower().replace(" ", "-") in slugs(REPOSITORY / name), (path, name, heading)


def test_the_readme_is_short():
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 126


def test_the_reference_has_every_module_once():
    pages = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs/reference").glob("*.md")]
    found = re.findall(r"^\.\. automodule:: (\S+)$", "\n".join(pages), re.MULTILINE)
    files = (path.relative_to(REPOSITORY).with_suffix("") for path in (REPOSITORY / "hipdet").rglob("*.py"))
    modules = [".".join(file.parts) for file in files if not file.name.startswith("__")]
    assert sorted(found) == sorted(modules)
    listed = re.findall(r"^   (hipdet\.\S+)$", "\n".join(pages), re.MULTILINE)
    assert sorted(listed) == sorted(modules)


def test_every_page_is_in_the_table_of_contents():
    docs = REPOSITORY / "docs"
    inside = {"index.md"}
    for path in DOCUMENTS:
        for toctree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            names = [line for line in toctree.split() if not line.startswith(":") and not line.isdecimal()]
            inside |= {(path.parent / f"{name}.md").relative_to(docs).as_posix() for name in names}
    assert inside == {path.relative_to(docs).as_posix() for path in DOCUMENTS if docs in path.parents}


def test_the_citation_is_of_this_version_and_names_both_papers():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["version"], citation["license"]) == ("1.2.0", __version__, "Apache-2.0")
    journal, preprint = citation["references"]
    assert journal["doi"] == "10.3390/jpm11060522"
    assert preprint["url"].endswith("2103.01584")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert all(re.sub(r"\s+", " ", paper["title"]) in re.sub(r"\s+", " ", readme) for paper in (journal, preprint))


def test_issue_templates_ask_for_the_version_and_warn_of_films():
    for name in ("bug", "feature"):
        template = yaml.safe_load(Path(REPOSITORY, f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))
        labels = [field["attributes"].get("label") for field in template["body"]]
        assert "hipdet --version" in labels
        assert "Never upload films or patient data" in template["body"][0]["attributes"]["value"]

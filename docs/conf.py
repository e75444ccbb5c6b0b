"""Sphinx builds the documentation from this folder: ``make docs``."""

import re
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))  # the checkout's own hipdet, not an installed one

import hipdet.plugin  # noqa: E402, F401  makes mmdet importable on mmcv-lite, and registers the components
from hipdet.version import __version__  # noqa: E402

project = "hipdet"
author = "The hipdet developers"
copyright = "The hipdet developers, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
suppress_warnings = ["config.cache"]  # functions of this file can't be pickled; nothing depends on it

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # so many levels of headings can be linked to; a link to none is a warning

default_role = "literal"  # docstrings write `argument`
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
add_module_names = False
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "hipdet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
PAGES_WITHOUT_OTHERS_BELOW = ("index", "architecture", "method", "glossary", "upgrading", "contributing", "changelog")
html_sidebars = {name: [] for name in PAGES_WITHOUT_OTHERS_BELOW}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": f"hipdet {__version__}"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}


def skip_fields_of_tuples(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out fields of named tuples: all that Python says of them is their number; class docstrings describe them."""
    return True if type(member).__name__ in ("_tuplegetter", "member_descriptor") else None


# as numpy's aliases are expanded when annotations are evaluated
EXPANDED = (
    (
        re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[([~.\w]+)\]\]"),
        r"~numpy.typing.NDArray[\1]",
    ),
    (re.compile(r"~numpy[.\w]+\._Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]"), "~numpy.typing.ArrayLike"),
)


def shorten_types(
    app: Any, what: str, name: str, member: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write numpy's types in signatures as the code does."""
    texts = [signature, returned]
    for pattern, short in EXPANDED:
        texts = [pattern.sub(short, text) if text else text for text in texts]
    return texts[0], texts[1]


def escape_types(app: Any, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Let ``str_`` in the types that napoleon writes be no link."""
    lines[:] = [line.replace("numpy.str_", "numpy.str\\_") for line in lines]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("autodoc-process-docstring", escape_types, priority=600)  # after napoleon
    app.connect("autodoc-skip-member", skip_fields_of_tuples)

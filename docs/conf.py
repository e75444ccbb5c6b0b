"""Sphinx builds the documentation from this folder: ``make docs``, or ``sphinx-build -W --keep-going docs docs/_build/html``."""

import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))  # the checkout's own hipdet, not an installed one

import hipdet.plugin  # noqa: E402  makes mmdet importable on mmcv-lite, and registers the components
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
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "hipdet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
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


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_fields_of_tuples)

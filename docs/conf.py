"""How Sphinx builds the documentation: `make docs`."""

from typing import TYPE_CHECKING

import bchan

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "bchan"
version = release = bchan.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"bchan {version}"
html_show_copyright = False

myst_heading_anchors = 3
# Docstrings set code in single backticks; what has a name there becomes a link.
default_role = "py:obj"
add_module_names = False
autodoc_default_options = {"members": True}
autodoc_member_order = "groupwise"
autodoc_typehints = "none"


def setup(app: "Sphinx") -> None:
    """Leave out the blank line that ends each doctest before its fence."""
    app.connect("source-read", _without_last_blank_lines)


def _without_last_blank_lines(_app: "Sphinx", _page: str, source: list[str]) -> None:
    source[0] = source[0].replace("\n\n```\n", "\n```\n")

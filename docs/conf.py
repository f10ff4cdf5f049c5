"""How Sphinx makes the pages: `make docs`."""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

from appid_manager_client import __version__

project = "appid-manager-client"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
napoleon_google_docstring = False  # see as_markup
napoleon_numpy_docstring = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
html_extra_path = ["llms.txt"]
html_theme = "furo"
html_title = f"appid-manager-client {release}"

# Names of other projects: no inventory of theirs is at hand without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(os|collections|concurrent|enum|pathlib|requests|types|prometheus_client)\..*"),
    ("py:.*", r"(opentelemetry|wrapt|datetime|typing|threading)\..*"),
    ("py:class", r"Path|SystemTime|SessionFactory|CollectorRegistry"),
    ("py:class", r"appid_manager_client\.(decorator\.decorator|server\.hours)\..*"),
]


_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def as_markup(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Have our docstrings, which are plain text with sections, read as reStructuredText."""
    text = _CODE.sub(r"``\1``", "\n".join(lines)).split("\n")
    lines[:] = []
    for number, line in enumerate(text):
        begins_code = line.startswith("    ") and number > 1 and not text[number - 1]
        if begins_code and text[number - 2][:1] not in ("", " "):
            lines += ["::", ""]
        lines.append(line)
    # In those of attributes, "TYPE: what it is" would be looked for.
    if what not in ("attribute", "property", "data"):
        sections = GoogleDocstring(lines, app.config, app, what, name, obj, options)
        lines[:] = sections.lines()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_markup)

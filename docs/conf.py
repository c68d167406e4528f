"""Configuration of the documentation: ``sphinx-build -W -c docs . site`` in the root of the repository.

The source folder is the repository, so that README, ODD and the pages of scenarios are pages of the site
where they stand, and links between them work in both. Sphinx, since its MyST reader takes these Markdown
files as they are, it reads the docstrings, and its search works from files, without a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import exoabm
from exoabm.api import causal, scenarios

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "exoabm"
author = copyright = "exoabm developers"  # noqa: A001 - a name of Sphinx
version = release = exoabm.__version__
html_title = f"exoabm {version}"

root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/notebooks/*.ipynb", "scenarios/*.md"]
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600  # s; the first run of an installation compiles
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
exoabm.scenario, exoabm.causal = scenarios.scenario, causal.causal  # not the packages of these names
autodoc_typehints = "none"  # the docstrings state types, shapes and units

html_theme = "furo"
html_copy_source = False
html_show_copyright = False

START = '<!DOCTYPE html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>exoabm</title>\n'


def setup(app: Sphinx) -> None:
    """Let the root of the site lead to its first page."""
    app.connect("build-finished", lambda app, _: (Path(app.outdir) / "index.html").write_text(START))

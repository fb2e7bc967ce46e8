"""How Sphinx builds these pages: `make docs`. Nothing is fetched from elsewhere meanwhile."""

from __future__ import annotations

import logging
import os
import tempfile

# Airflow logs at its import which settings it has read.
logging.getLogger("airflow").setLevel(logging.WARNING)
# The reference is made from the docstrings of what Airflow imports, and Airflow keeps a folder of its own.
home = tempfile.TemporaryDirectory(prefix="airflow-home-of-the-docs-")
os.environ["AIRFLOW_HOME"] = home.name

from airflow_provider_cytechbot import __version__  # noqa: E402

project = "airflow-provider-cytechbot"
author = copyright = "The airflow-provider-cytechbot authors"  # noqa: A001 (Sphinx's name for it)
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
#: What stands in single backticks is code in the docstrings of the sandbox and in all that is Markdown.
default_role = "code"
highlight_language = "none"
#: A reference that leads nowhere is a warning; but for what others document, and our own types and bases that
#: stand in signatures alone.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(?!airflow_provider_cytechbot\.).*"),
    (
        "py:class",
        r".*\.(_\w+|Answer|ContactMethods|CyTechBotBaseHook|CyTechBotBulkOperator|Field|NewAnswers|PollSchedule|Progress|Repeat|State|StoppableTransfer|T|UserMethods)",
    ),
    ("py:obj", r".*\.T"),
    ("py:exc", "Airflow.*"),
]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"show-inheritance": True}
python_maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False

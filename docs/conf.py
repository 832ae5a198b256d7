"""Sphinx's settings. The reference is written anew from the source before each build."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import reference_from_source  # noqa: E402

from striate import __version__  # noqa: E402

reference_from_source.write(HERE / "reference")

project = "Striate"
author = "The Striate authors"
project_copyright = "2026, the Striate authors"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = f"Striate {__version__}"
html_static_path: list[str] = []
html_copy_source = False
pygments_style = "friendly"

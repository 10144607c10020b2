"""Shared helpers of the executable papers on WiFi sensing: what the notebooks import."""

import os
import sys
from pathlib import Path

__version__ = "0.2.0"


def _root():
    """The checkout: where this package lies, else (installed from a wheel) CSI_ROOT, else above the working folder.

    CSI_ROOT is what a process of ours gives to those that it starts in other folders.
    """
    here = Path(__file__).resolve().parent.parent
    named = [Path(os.environ["CSI_ROOT"])] if os.environ.get("CSI_ROOT") else []
    for folder in (here, *named, Path.cwd(), *Path.cwd().parents):
        if (folder / "data" / "datasets.toml").is_file():
            return folder
    return here


ROOT = _root()


def in_notebook():
    """Does this code run in a kernel of Jupyter?"""
    return "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None

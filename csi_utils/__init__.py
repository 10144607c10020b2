"""Shared helpers of the executable papers on WiFi sensing: what the notebooks import."""

from pathlib import Path

__version__ = "0.2.0"


def _root():
    """The checkout: where this package lies, else (installed from a wheel) the folder above that one works in."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here, *[Path.cwd(), *Path.cwd().parents]):
        if (folder / "data" / "datasets.toml").is_file():
            return folder
    return here


ROOT = _root()

"""Shared helpers of the CSI paper notebooks. Submodules are imported on use, so this costs nothing."""

import importlib

__version__ = "0.1.0"
__all__ = ["activities", "channel", "claims", "datasets", "digits", "evaluation", "exercises", "features", "hardware",
           "materials", "metal", "plots", "run", "simulated", "training"]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Where the real data sets are, for tests that need them; they are skipped with a reason where there are none."""

import os
from pathlib import Path

import pytest

from csi_utils.files import sources

MIRROR = Path(os.environ["CSI_DATA_MIRROR"]) if os.environ.get("CSI_DATA_MIRROR") else None
if MIRROR is not None and not MIRROR.is_dir():
    MIRROR = sources.ROOT / MIRROR
REAL = pytest.mark.skipif(MIRROR is None, reason="CSI_DATA_MIRROR is not set: no real data")


def needs(folder):
    """A mark: skip where the mirror does not hold this folder."""
    return pytest.mark.skipif(MIRROR is None or not (MIRROR / folder).is_dir(),
                              reason=f"CSI_DATA_MIRROR is unset or holds no {folder}")

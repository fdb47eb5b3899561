"""The scripts of experiments/ import each other by name, as when they are run."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the scripts, importable."""
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return ROOT / "experiments"

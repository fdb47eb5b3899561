"""The scripts of experiments/ import each other by name, as when they are run."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch):
    """Parses the options of a Lightning verb as `mis` does, without making anything; returns the config."""
    from mis_lightning.commands.lightning import MISCLI, run

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(MISCLI, "instantiate_classes", lambda self: None)

    def parsed(options):
        import yaml

        cli = run(options, run=False)
        return yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))

    return parsed


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the scripts, importable."""
    monkeypatch.syspath_prepend(ROOT / "experiments")
    return ROOT / "experiments"

"""Lines in place of a progress bar where the output is no terminal."""

from __future__ import annotations

import re
import sys

import pytest

from mis_lightning.errors import InputError
from mis_lightning.training.told_steps import ToldSteps


def lines(capfd):
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]


def test_every_step_or_now_and_then(tiny_training, quiet_trainer, capfd, monkeypatch):
    for seconds, count in ((0.0, 5), (1e6, 1)):
        module, loader = tiny_training()
        quiet_trainer(max_steps=5, max_epochs=-1, callbacks=[ToldSteps(seconds)]).fit(module, loader)
        told = lines(capfd)
        assert len(told) == count
        assert re.fullmatch(r"step 5 of 5: loss \d\.\d{3}, iou \d\.\d{3}", told[-1])
    assert re.fullmatch(r"step 5 of 5.*", told[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    module, loader = tiny_training()
    quiet_trainer(max_steps=2, max_epochs=-1, callbacks=[ToldSteps(0.0)]).fit(module, loader)
    assert not lines(capfd)  # there, the bar tells


def test_negative_times():
    with pytest.raises(InputError, match="seconds"):
        ToldSteps(-1)

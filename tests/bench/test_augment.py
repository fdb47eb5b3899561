"""The rival is called with the published numbers; where it is not installed, the user is told."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mis_lightning.bench import augment
from mis_lightning.errors import InputError


def test_without_the_rival(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(InputError, match="pip install albumentations"):
        augment.main(["--batch", "1", "--size", "64", "--repeats", "1"])


def test_against_a_rival_of_the_same_names(monkeypatch, capsys):
    asked = {}

    def transform(name):
        def make(*given, **named):
            asked[name] = (given, named)
            return lambda image, mask: (np.sort(image, axis=0), mask)

        return make

    names = "RandomScale HorizontalFlip VerticalFlip RandomRotate90 ShiftScaleRotate PadIfNeeded RandomCrop"
    names += " RandomBrightnessContrast RGBShift OneOf"
    rival = SimpleNamespace(**{name: transform(name) for name in names.split()})
    rival.Compose = lambda steps: lambda image, mask: [step(image, mask) for step in steps]
    monkeypatch.setitem(sys.modules, "albumentations", rival)
    assert augment.main(["--batch", "1", "--size", "64", "--repeats", "1", "--threads", "1"]) == 0
    assert asked["RandomScale"][1]["scale_limit"] == pytest.approx((-0.25, 0.25))
    assert asked["RandomBrightnessContrast"][1]["contrast_limit"] == (-0.15, 0.4)
    assert asked["RGBShift"] == ((10.0, 10.0, 10.0), {"p": 0.75})
    assert "of albumentations' processor time" in capsys.readouterr().out

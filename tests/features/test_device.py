"""An extractor waits for its process to get a GPU before it moves there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.features.device import extractor_device
from mis_lightning.features.resnet import ResNetFeatures
from mis_lightning.features.vit import ViTFeatures

MAKERS = {
    "vit": lambda device: ViTFeatures("vit_tiny_patch16_224", pretrained=False, device=device),
    "resnet": lambda device: ResNetFeatures("resnet18", pretrained=False, shorter=64, device=device),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_network_moves_when_it_is_called(make, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    extractor = make("cuda")  # moving it now would fail without a GPU, and choose the first of several
    assert extractor.device.type == "cuda"
    assert {weight.device.type for weight in extractor.model.parameters()} == {"cpu"}
    moved = []
    monkeypatch.setattr(extractor.model, "to", lambda device: moved.append(device) or extractor.model)
    extractor.device = torch.device("cpu")
    extractor(np.zeros((64, 64, 3), np.uint8))
    assert moved == [torch.device("cpu")]


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert extractor_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(InputError, match="'cuda:1', but torch finds 1"):
        extractor_device("cuda:1")
    with pytest.raises(InputError, match="cpu or cuda, but got 'gpu'"):
        extractor_device("gpu")

"""The ResNet of Free Mask: its output against torchvision's, weights in every naming."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision

from mis_lightning.errors import InputError
from mis_lightning.features.resnet import ResNetFeatures, torchvision_name


def published(name):
    """A name of torchvision's in detectron2's naming."""
    if name.startswith(("conv1.", "bn1.")):
        return "stem." + name.replace("bn1.", "conv1.norm.")
    stage, rest = name.split(".", 1)
    rest = rest.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    for number in "123":
        rest = rest.replace(f"bn{number}.", f"conv{number}.norm.")
    return f"res{int(stage[-1]) + 1}.{rest}"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    network = torchvision.models.resnet18(weights=None).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("naming", ["torchvision", "moco", "densecl", "detectron2"])
def test_features_are_those_of_torchvision_in_every_naming(network, tmp_path, naming):
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    rename = {
        "torchvision": lambda name: name,
        "moco": lambda name: "module.encoder_q." + name,
        "densecl": lambda name: "backbone." + name,
        "detectron2": published,
    }[naming]
    state = {rename(name): value for name, value in state.items()}
    torch.save({"state_dict": state, "epoch": 200}, tmp_path / "weights.pth")
    extractor = ResNetFeatures("resnet18", checkpoint=str(tmp_path / "weights.pth"), shorter=96, longer=160)
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    features, grid = extractor(image)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    )
    x = (pixels - mean) / std
    with torch.no_grad():
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = layer(x)
    assert (grid, features.dtype) == ((3, 4), np.float32)
    np.testing.assert_allclose(features, x[0].flatten(1).T.numpy(), atol=1e-4)


def test_sizes():
    published = ResNetFeatures("resnet18", pretrained=False)
    assert (published.shorter, published.longer) == (800, 1333)
    extractor = ResNetFeatures("resnet18", pretrained=False, shorter=64, longer=96)
    for size, grid in [((100, 100), (2, 2)), ((50, 300), (1, 3)), ((300, 200), (3, 2))]:
        assert extractor(np.zeros((*size, 3), np.uint8))[1] == grid
    settings = extractor.settings()
    assert settings["weights"] == ResNetFeatures("resnet18", pretrained=False).weights_digest
    assert settings["weights"] != ResNetFeatures("resnet18", pretrained=False, seed=1).weights_digest


def test_names_of_the_real_network_all_translate():
    names = [name for name in torchvision.models.resnet101(weights=None).state_dict() if name[:2] != "fc"]
    assert [torchvision_name(published(name)) for name in names] == names


def test_weights_that_do_not_fit(network, tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth does not hold the weights of this ResNet"):
        ResNetFeatures("resnet18", checkpoint=str(tmp_path / "other.pth"))
    (tmp_path / "r101.pkl").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(InputError, match="is a pickle of detectron2"):
        ResNetFeatures("resnet18", checkpoint=str(tmp_path / "r101.pkl"))
    with pytest.raises(InputError, match="no such file"):
        ResNetFeatures("resnet18", checkpoint=str(tmp_path / "nowhere.pth"))
    with pytest.raises(InputError, match="shorter"):
        ResNetFeatures("resnet18", pretrained=False, shorter=100, longer=50)

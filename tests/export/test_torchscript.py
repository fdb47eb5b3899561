"""TorchScript and pt2 files against PyTorch, loaded as a user would load them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mis_lightning.clicks.encoding import encode_points
from mis_lightning.errors import InputError
from mis_lightning.export.graph import FlatModel, random_inputs
from mis_lightning.export.torchscript import METADATA, export_pt2, export_torchscript
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.structures import Prompt
from tests.export.test_onnx import sized_hybrid


class Disks(ClickNetwork):
    """One convolution of the image, the mask and the disks of the clicks: its graph is made in no time."""

    def __init__(self, **config) -> None:
        super().__init__(config, 1, "none")
        self.convolution = nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        disks = encode_points(prompt.points, self.input_size, self.config["click_radius"])
        return self.convolution(torch.cat([self.normalise(image), prompt.previous_mask, disks], 1))


def model_of(architecture: str, tiny_click_vit) -> nn.Module:
    if architecture == "ClickViT":
        return tiny_click_vit().eval()
    if architecture == "Disks":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Disks(input_size=(32, 48), click_radius=2.0).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = {"dims": (6, 8, 10), "dim": 12, "depth": 1, "heads": 2, "histograms": 2, "codes": 4}
        return HybridClickViT(input_size=(32, 48), **small).eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:FutureWarning")
@pytest.mark.parametrize(
    ("architecture", "kind"),
    # the graph behind pt2 is the one behind ONNX, tested with both; a larger one is saved in the test below
    [("ClickViT", "torchscript"), ("HybridClickViT", "torchscript"), ("Disks", "pt2")],
)
def test_a_file_is_its_model(architecture: str, kind: str, tiny_click_vit, tmp_path: Path) -> None:
    model = model_of(architecture, tiny_click_vit)
    said = {METADATA: ""}
    if kind == "torchscript":
        path = tmp_path / "model.pt"
        assert export_torchscript(model, path) <= 1e-4
        loaded = torch.jit.load(str(path), _extra_files=said)
    else:
        path = tmp_path / "model.pt2"
        assert export_pt2(model, path) <= 1e-4
        loaded = torch.export.load(path, extra_files=said).module()
    assert list(tmp_path.iterdir()) == [path]
    generator = torch.Generator().manual_seed(2)
    for batch, clicks in ((1, 1), (1, 24), (2, 3), (5, 2)):
        inputs = random_inputs((32, 48), batch, clicks, generator)
        with torch.no_grad():
            torch.testing.assert_close(loaded(*inputs), FlatModel(model)(*inputs), atol=1e-4, rtol=0)
    metadata = json.loads(said[METADATA])
    assert metadata["architecture"].rpartition(".")[2] == architecture
    assert metadata["input_size"] == [32, 48]
    assert metadata["click_radius"] == model.config["click_radius"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:FutureWarning")
@pytest.mark.parametrize("kind", ["torchscript", "pt2"])
def test_a_file_with_granularity_is_its_model(kind: str, tmp_path: Path) -> None:
    model = sized_hybrid()
    if kind == "torchscript":
        assert export_torchscript(model, tmp_path / "model.pt") <= 1e-4
        loaded = torch.jit.load(str(tmp_path / "model.pt"))
    else:
        assert export_pt2(model, tmp_path / "model.pt2") <= 1e-4
        loaded = torch.export.load(tmp_path / "model.pt2").module()
    generator = torch.Generator().manual_seed(2)
    for batch, told in ((1, [0.3]), (3, [0.1, torch.nan, 0.8])):
        inputs, values = random_inputs((32, 48), batch, 3, generator), torch.tensor(told)
        with torch.no_grad():
            free = model(inputs[0], Prompt(inputs[2], inputs[1]))
            expected = model(inputs[0], Prompt(inputs[2], inputs[1], values))
            torch.testing.assert_close(loaded(*inputs, values), expected, atol=1e-4, rtol=0)
            if kind == "torchscript":
                torch.testing.assert_close(loaded(*inputs), free, atol=1e-4, rtol=0)
        assert (free - expected).abs().max() > 0.01


def test_pt2_files_have_their_name(tiny_click_vit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.pt2"):
        export_pt2(tiny_click_vit(), tmp_path / "model.pt")


def test_a_torch_without_torchscript(tiny_click_vit, tmp_path: Path, monkeypatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise RuntimeError("torch.jit is not supported\nanywhere")

    monkeypatch.setattr(torch.jit, "trace", gone)
    with pytest.raises(InputError, match=r"cannot trace the model here \(torch\.jit is not supported\); use"):
        export_torchscript(tiny_click_vit(), tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_answers_otherwise_gets_no_name(tiny_click_vit, tmp_path: Path, monkeypatch) -> None:
    other, trace = tiny_click_vit(seed=1).eval(), torch.jit.trace
    monkeypatch.setattr(
        torch.jit, "trace", lambda model, *given, **options: trace(FlatModel(other), *given, **options)
    )
    with pytest.raises(InputError, match=r"differs from the model by .*nothing was written"):
        export_torchscript(tiny_click_vit(), tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []

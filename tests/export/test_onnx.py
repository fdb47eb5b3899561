"""Exported files against PyTorch: logits of many shapes, masks of whole sessions, what the file says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.export import onnx as onnx_export
from mis_lightning.export.graph import FlatModel, random_inputs
from mis_lightning.export.onnx import export_onnx
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import describe
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.onnx_model import OnnxClickModel
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.structures import Click, Prompt, Sample

HYBRID = {"dims": (6, 8, 10), "dim": 12, "depth": 1, "heads": 2, "histograms": 2, "codes": 4}


@pytest.fixture(params=["ClickViT", "HybridClickViT"])
def model(request, tiny_click_vit) -> ClickNetwork:
    """A random model whose answers are neither all "yes" nor all "no", and follow the clicks."""
    if request.param == "ClickViT":
        made = tiny_click_vit()
        classifier = made.head.classify
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = HybridClickViT(input_size=(32, 48), click_radius=2.0, **HYBRID)
        classifier = made.classify[-1]
    inputs = random_inputs((32, 48), 4, 5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        classifier.weight *= 3 / FlatModel(made.eval())(*inputs).std()
        classifier.bias -= FlatModel(made)(*inputs).median()
    return made


def sized_hybrid() -> HybridClickViT:
    """A random network that listens to the granularity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = HybridClickViT(input_size=(32, 48), click_radius=2.0, **HYBRID, granularity=True).eval()
        assert made.granularity is not None
        torch.nn.init.normal_(made.granularity.out.weight, std=3.0)
    inputs = random_inputs((32, 48), 4, 5, torch.Generator().manual_seed(0))
    classifier = made.classify[-1]
    with torch.no_grad():
        classifier.weight *= 3 / FlatModel(made)(*inputs).std()
        classifier.bias -= FlatModel(made)(*inputs).median()
    return made


def points(batch: int, clicks: int, used: int, generator: torch.Generator) -> Tensor:
    """``used`` rows of each half at random positions, some outside the image; the others unused."""
    result = torch.full((batch, 2 * clicks, 3), -1.0)
    for half in (0, clicks):
        position = torch.rand(batch, used, 2, generator=generator) * torch.tensor([40.0, 56.0]) - 4
        result[:, half : half + used] = torch.cat([position, torch.zeros(batch, used, 1)], dim=2)
    return result


def test_a_file_is_its_model(model: ClickNetwork, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "folder" / "model.onnx"
    if isinstance(model, HybridClickViT):  # another opset, and its weights as those beyond 2 GB
        opset = 18
        monkeypatch.setattr(onnx_export, "ONE_FILE", 0)
        assert export_onnx(model, path, opset) <= 1e-4
        assert {p.name for p in path.parent.iterdir()} == {"model.onnx", "model.onnx.data"}
        weights = sum(value.nbytes for value in model.state_dict().values())
        assert (path.parent / "model.onnx.data").stat().st_size > 0.9 * weights
    else:
        opset = 20
        path.parent.mkdir()
        (path.parent / "model.onnx.data").touch()  # of an earlier, larger model
        assert export_onnx(model, path) <= 1e-4
        assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    exported = OnnxClickModel(path)

    generator = torch.Generator().manual_seed(3)
    answers = []
    for batch, clicks, used in ((1, 1, 0), (1, 1, 1), (2, 3, 2), (3, 24, 24), (5, 2, 1), (1, 40, 7)):
        given = (
            torch.rand(batch, 3, 32, 48, generator=generator),
            torch.rand(batch, 1, 32, 48, generator=generator),
            points(batch, clicks, used, generator),
        )
        with torch.no_grad():
            expected = FlatModel(model)(*given)
        got = exported(given[0], Prompt(given[2], given[1]))
        assert got.shape == (batch, 1, 32, 48)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
        answers.append(got)
    assert max(float(answer.std()) for answer in answers) > 1  # there was something to get wrong

    said = exported.metadata
    assert said["architecture"] == type(model).__name__
    assert {"architecture": said["architecture"], **said["config"]} == json.loads(json.dumps(describe(model)))
    assert said["input_size"] == [32, 48]
    assert said["click_radius"] == 2.0
    assert said["opset"] == opset
    assert said["versions"]["torch"] == torch.__version__.split("+")[0]
    assert str(Path(onnx_export.__file__).parents[2]).encode() not in path.read_bytes()  # no stack traces
    file = onnx.load(path)
    onnx.checker.check_model(file)
    assert [entry.version for entry in file.opset_import if entry.domain == ""] == [opset]

    same_masks(model, path)
    without_this_package(model, path)
    takes_no_granularity(path)


def takes_no_granularity(path: Path) -> None:
    """The file has three inputs, and the predictor says so to one who gives a fourth."""
    assert [one.name for one in onnx.load(path).graph.input] == ["image", "previous_mask", "points"]
    one = ClickPredictor.from_pretrained(path)
    one.set_image(np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(InputError, match=r"onnx-.*does not take the size"):
        one.predict([[10, 10]], [1], granularity=0.5)


def without_this_package(model: ClickNetwork, path: Path) -> None:
    """The function in docs/how_to.md."""
    text = (Path(__file__).parents[2] / "docs" / "how_to.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(re.search(r"```python\n(def segment.*?)```", text, re.DOTALL)[1], scope)
    image = np.random.default_rng(1).integers(256, size=(32, 48, 3), dtype=np.uint8)
    clicks = [Click(10, 20, True), Click(3, 40.5, False), Click(30, 2, True)]
    with torch.no_grad():
        whole = torch.from_numpy(image.transpose(2, 0, 1))[None] / 255
        logits = model(whole, Prompt(pack_points([clicks]), torch.zeros(1, 1, 32, 48)))[0, 0]
    got = scope["segment"](path, image, clicks)
    certain = logits.abs() > 1e-4
    assert bool((torch.from_numpy(got) == (logits > 0))[certain].all())
    assert 0 < got.mean() < 1


def same_masks(model: ClickNetwork, path: Path) -> None:
    """A simulated user sees no difference, with zoom and flip, nor does one who undoes."""
    generator = np.random.default_rng(0)
    image = generator.integers(256, size=(230, 260, 3), dtype=np.uint8)
    mask = np.zeros((230, 260), dtype=bool)
    mask[40:150, 60:200] = True
    settings = EvaluationSettings(max_clicks=6)
    sample = Sample(image, mask, None, "box")
    ours, theirs = (
        simulate_session(ClickModelSegmenter(one), sample, settings) for one in (model, OnnxClickModel(path))
    )
    assert ours.clicks == theirs.clicks
    np.testing.assert_array_equal(ours.ious, theirs.ious)
    assert len(set(ours.ious.tolist())) > 1

    ours, theirs = ClickPredictor(ClickModelSegmenter(model)), ClickPredictor.from_pretrained(path)
    assert theirs.segmenter.settings() == ours.segmenter.settings()
    for predictor in (ours, theirs):
        predictor.set_image(image)
    for k in range(6):
        row, col = generator.integers((230, 260))
        for predictor in (ours, theirs):
            predictor.click(row, col, k % 3 != 2)
            if k == 3:
                predictor.undo()
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-4)
    assert 0 < ours.mask.mean() < 1


def test_a_file_with_granularity_is_its_model(tmp_path: Path) -> None:
    model = sized_hybrid()
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) <= 1e-4
    exported = OnnxClickModel(path)
    assert exported.takes_granularity
    onnx.checker.check_model(onnx.load(path))
    generator = torch.Generator().manual_seed(3)
    for batch, told in ((1, [0.2]), (1, [torch.nan]), (3, [0.1, torch.nan, 0.9]), (2, None)):
        image, previous, given = random_inputs((32, 48), batch, 3, generator)
        prompt = Prompt(given, previous, None if told is None else torch.tensor(told))
        with torch.no_grad():
            expected = model(image, prompt)
        torch.testing.assert_close(exported(image, prompt), expected, atol=1e-4, rtol=0)
        free = exported(image, Prompt(given, previous))
        changed = (free - expected).abs().amax(dim=(1, 2, 3)) > 0.01
        assert changed.tolist() == [value == value for value in told or [torch.nan] * batch]

    image = np.random.default_rng(0).integers(256, size=(90, 120, 3), dtype=np.uint8)
    ours, theirs = ClickPredictor(ClickModelSegmenter(model)), ClickPredictor.from_pretrained(path)
    for predictor in (ours, theirs):
        predictor.set_image(image)
    masks = [
        [predictor.predict([[60, 45]], [1], granularity=told)[1] for told in (None, 0.3)]
        for predictor in (ours, theirs)
    ]
    np.testing.assert_allclose(masks[0], masks[1], atol=1e-4)
    assert np.abs(masks[0][0] - masks[0][1]).max() > 0.01
    without_this_package(model, path)


@pytest.mark.parametrize(
    ("name", "opset", "named"), [("model.onnx", 9, "from 18 to"), ("model.pt", 20, r"\.onnx")]
)
def test_refused_before_anything_is_done(tiny_click_vit, tmp_path, name, opset, named) -> None:
    with pytest.raises(InputError, match=named):
        export_onnx(tiny_click_vit(), tmp_path / name, opset)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tiny_click_vit, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r'pip install "mis-lightning\[export\]"$'):
        export_onnx(tiny_click_vit(), tmp_path / "model.onnx")

"""The model that comes with the package: it opens by name, is small, and answers as well as its card says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.metrics.functional import number_of_clicks
from mis_lightning.models.initialise import load_initial_weights
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.models.shipped import DEFAULT, FOLDER, shipped_folder, shipped_models
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.registry import open_segmenter


def test_opens_by_name_and_by_default() -> None:
    assert DEFAULT in shipped_models()
    named, default = load_pretrained(DEFAULT), load_pretrained()
    assert not named.training
    for (name, ours), (_, theirs) in zip(
        named.state_dict().items(), default.state_dict().items(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    fresh = type(named)(**named.config)
    load_initial_weights(fresh, DEFAULT)
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), named.parameters(), strict=True))


def test_a_folder_of_the_same_name_goes_first(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped_folder(DEFAULT) == FOLDER / DEFAULT
    (tmp_path / DEFAULT).mkdir()
    assert shipped_folder(DEFAULT) is None
    with pytest.raises(InputError, match="not a model folder"):
        load_pretrained(DEFAULT)
    assert shipped_folder("../models/" + DEFAULT) is None


@pytest.mark.parametrize("name", shipped_models())
def test_it_is_small_and_described(name: str) -> None:
    files = {path.name: path.stat().st_size for path in (FOLDER / name).iterdir()}
    assert set(files) == {"model.safetensors", "config.json", "README.md"}
    assert files["model.safetensors"] <= 15 * 10**6
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert f'ClickPredictor.from_pretrained("{name}")' in card
    assert "## Limits" in card


def test_it_is_kept_in_half_precision_and_computes_in_single() -> None:
    for kept in load_file(FOLDER / DEFAULT / "model.safetensors").values():
        assert kept.dtype == torch.float16
        assert torch.isfinite(kept).all()
    assert {value.dtype for value in load_pretrained(DEFAULT).parameters()} == {torch.float32}


def clicks_needed(objects: list[int], max_clicks: int, threshold: float) -> float:
    benchmark = BundledBenchmark()
    settings = EvaluationSettings(target_iou=None, max_clicks=max_clicks)
    samples = (benchmark[index] for index in objects)
    sessions = simulate_sessions(open_segmenter("mis-small:published"), samples, settings, 4)
    return float(np.mean([number_of_clicks(s.ious, threshold, max_clicks) for s in sessions]))


def test_it_has_not_become_worse() -> None:
    """Eight objects, ten clicks: NoC@80 was 3.25 when it was shipped."""
    assert clicks_needed(list(range(0, 31, 4)), 10, 0.80) <= 3.25 + 0.4


@pytest.mark.slow
def test_it_has_not_become_worse_on_the_whole_benchmark() -> None:
    """NoC@85 of all 31 objects was 5.03 when it was shipped."""
    assert clicks_needed(list(range(31)), 20, 0.85) <= 5.03 + 0.3


def test_five_lines() -> None:
    benchmark = BundledBenchmark()
    (cat,) = [s for s in map(benchmark.__getitem__, range(31)) if s.name == "chelsea.png#cat"]
    predictor = ClickPredictor.from_pretrained(DEFAULT)
    predictor.set_image(cat.image)
    for row, col in ((150, 200), (80, 150)):
        predictor.click(row, col)
    assert predictor.mask.shape == cat.mask.shape
    assert 0 < predictor.mask.mean() < 1

"""The card: front matter that the hub's library reads, figures of a results file, no paths of a machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, SimulatedSession
from mis_lightning.export.model_card import CardFacts, model_card
from mis_lightning.metrics.report import write_report
from mis_lightning.models.pretrained import describe, save_pretrained
from mis_lightning.structures import Click

RECIPE = {
    "seed_everything": 3,
    "trainer": {"max_steps": 7, "default_root_dir": "/home/alice/runs", "precision": None},
    "model": {
        "model": {"class_path": "mis_lightning.models.click_vit.ClickViT", "init_args": {"dim": 16}},
        "initial_weights": "/home/alice/mae.pth",
    },
    "data": {
        "images": "/home/alice/cats",
        "store": "~/store",
        "batch_size": 4,
        "test_benchmarks": [{"root": "/home/alice/GrabCut"}],
    },
    "ckpt_path": "/home/alice/last.ckpt",
}


def results_of(tested: dict[str, Any], folder: Path) -> Path:
    """What `mis test` writes, of two objects that need 1 and 20 clicks."""
    clicks = tuple(Click(0, k, True) for k in range(20))
    curves = {"a": np.full(20, 0.95, np.float32), "b": np.full(20, 0.5, np.float32)}
    sessions = [SimulatedSession(name, ious, clicks, 2.0, 1.0) for name, ious in curves.items()]
    settings = {
        "evaluation": EvaluationSettings(target_iou=None),
        "checkpoint": "/home/alice/last.ckpt",
        "model": tested,
        "comparable": {"GrabCut": False},
    }
    write_report(folder, {"GrabCut": sessions}, settings)
    return folder / "results.json"


def test_a_card_with_all_facts(tiny_click_vit, tmp_path: Path) -> None:
    model = tiny_click_vit()
    recipe = tmp_path / "config.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    facts = CardFacts(
        "cc-by-nc-4.0", "800 photographs of cats", recipe, results_of(describe(model), tmp_path)
    )
    text = model_card(model, "alice/cat-clicks", facts)

    card = ModelCard(text)  # the hub's own reading of the front matter
    assert card.data.license == "cc-by-nc-4.0"
    assert card.data.library_name == "mis_lightning"
    assert card.data.pipeline_tag == "mask-generation"
    assert card.data.model_name == "cat-clicks"
    figures = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert {r.dataset_name for r in card.data.eval_results} == {"GrabCut"}
    assert figures["noc@85"] == 10.5  # (1 + 20) / 2
    assert figures["iou@5"] == pytest.approx(0.725)

    body = card.text
    assert body.lstrip().startswith("# cat-clicks")
    assert "ClickViT, 0.0 M weights, 32 × 48 pixels" in body
    assert "800 photographs of cats" in body
    assert re.search(r"\| GrabCut +\| +2 \|.*10\.50 \(1\.00-20\.00\)", body)
    assert "Not the complete published set: GrabCut" in body
    assert '"max_clicks": 20' in body
    assert "Weights: cc-by-nc-4.0." in body

    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", body, re.DOTALL)[1])
    assert shown == {
        "seed_everything": 3,
        "trainer": {"max_steps": 7},
        "model": {**RECIPE["model"], "initial_weights": "mae.pth"},
        "data": {"images": "cats", "batch_size": 4},
    }
    assert "alice/runs" not in text
    assert "/home" not in text
    assert "~" not in text


def test_what_is_not_known_is_said(tiny_click_vit) -> None:
    card = ModelCard(model_card(tiny_click_vit(), "alice/cat", CardFacts()))
    assert card.data.license == "unknown"
    assert card.data.eval_results is None
    assert card.text.count("Not stated.") == 2
    assert "Not measured." in card.text
    assert "nobody may reuse them yet" in card.text


def test_the_usage_on_the_card_works(tiny_click_vit, tmp_path: Path, monkeypatch) -> None:
    model = tiny_click_vit()
    code = re.search(r"```python\n(.*?)```", model_card(model, "alice/cat", CardFacts()), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) == 5
    monkeypatch.chdir(tmp_path)
    save_pretrained(model, Path("alice/cat"))
    Image.new("RGB", (200, 150)).save("photo.jpg")
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["mask"].shape == (150, 200)


@pytest.mark.parametrize(
    "changes", [{"dim": 32}, {"architecture": "HybridClickViT"}], ids=["shape", "architecture"]
)
def test_results_of_another_model(tiny_click_vit, tmp_path: Path, changes) -> None:
    model = tiny_click_vit()
    results = results_of({**describe(model), **changes}, tmp_path)
    with pytest.raises(InputError, match=r"results\.json are of a model of another shape"):
        model_card(model, "alice/cat", CardFacts(results=results))


def test_results_from_before_there_was_a_second_architecture(tiny_click_vit, tmp_path: Path) -> None:
    model = tiny_click_vit()
    results = results_of(dict(model.config), tmp_path)
    assert "10.50" in model_card(model, "alice/cat", CardFacts(results=results))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "cannot be read"),
        ("[1]", "a key `model`"),
        ("model: 3", "a key `model`"),
        (None, "cannot be read"),
    ],
)
def test_recipes_that_are_none(tiny_click_vit, tmp_path: Path, text, named) -> None:
    recipe = tmp_path / "config.yaml"
    if text is not None:
        recipe.write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"config\.yaml.*{named}|{named}.*config\.yaml|config\.yaml, with {named}"
    ):
        model_card(tiny_click_vit(), "alice/cat", CardFacts(recipe=recipe))


def test_results_that_are_none(tiny_click_vit, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"benchmarks": {}}), encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json"):
        model_card(tiny_click_vit(), "alice/cat", CardFacts(results=tmp_path / "results.json"))
    with pytest.raises(InputError, match=r"nowhere.*cannot be read"):
        model_card(tiny_click_vit(), "alice/cat", CardFacts(results=tmp_path / "nowhere"))

"""What a run touches is noted by what loads it, and follows a model into its folder and its card."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from mis_lightning import licences
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.errors import InputError
from mis_lightning.export.model_card import CardFacts, model_card
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.metrics.provenance import provenance
from mis_lightning.models.pretrained import load_pretrained, save_pretrained


@pytest.fixture(autouse=True)
def _nothing_touched_before(monkeypatch):
    monkeypatch.setattr(licences, "_touched", {})


def whats() -> list[str]:
    return [entry["what"] for entry in provenance()["licences"]]


def test_every_benchmark_has_one() -> None:
    assert {*BENCHMARKS, "bundled"} == set(licences.DATA)
    BundledBenchmark()
    assert whats() == ["bundled (scikit-image's photographs)"]


@pytest.mark.parametrize(
    ("name", "licence", "terms"),
    [
        ("vit_small_patch8_224.dino", "apache-2.0", ""),
        ("vit_base_patch14_reg4_dinov2.lvd142m", "apache-2.0", ""),
        ("vit_small_patch16_dinov3.lvd1689m", "dinov3-license", "Meta's terms, to be accepted at the hub"),
        ("vit_base_patch16_224.mae", "cc-by-nc-4.0", licences.NON_COMMERCIAL),
        ("hf-hub:someone/model", "unknown", ""),
    ],
)
def test_weights_of_timm(name, licence, terms) -> None:
    found = licences.of_timm_model(name)
    assert (found.licence, found.terms) == (licence, terms)
    assert found.source.startswith("https://huggingface.co/")


def test_extractors_note_their_weights_and_a_missing_file_tells_its_licence(tmp_path) -> None:
    name = "vit_tiny_patch16_224"
    ViTFeatures(name, pretrained=False)
    assert whats() == []  # random weights are nobody's
    path = tmp_path / "mine.pth"
    torch.save(timm.create_model(name, num_classes=0).state_dict(), path)
    ViTFeatures(name, checkpoint=str(path))
    assert provenance()["licences"] == [
        {"what": f"weights of {name}", "licence": "unknown", "terms": "", "source": "mine.pth"}
    ]
    with pytest.raises(InputError, match=r"MoCo v3 ViT-S/16; cc-by-nc-4.0, no commercial use"):
        ViTFeatures("vit_small_patch16_224", checkpoint=str(tmp_path / "vit-s-300ep.pth.tar"))


def test_they_follow_a_model(tiny_click_vit, tmp_path, monkeypatch) -> None:
    model = tiny_click_vit()
    assert "made_from" not in json.loads(
        (save_pretrained(model, tmp_path / "a") / "config.json").read_text("utf-8")
    )
    licences.touch(licences.FILES["mae_pretrain_vit_base.pth"])
    model.made_from = licences.touched()
    save_pretrained(model, tmp_path / "b")
    monkeypatch.setattr(licences, "_touched", {})
    loaded = load_pretrained(tmp_path / "b")
    assert whats() == ["MAE ViT-B/16"]
    assert "* MAE ViT-B/16: cc-by-nc-4.0, no commercial use" in model_card(loaded, "me/model", CardFacts())
    assert "Made with, each" not in model_card(load_pretrained(tmp_path / "a"), "me/model", CardFacts())


@pytest.mark.parametrize("name", ["dino", "dinov2"])
def test_the_recipes_for_commercial_use_start_from_weights_that_allow_it(name, parse) -> None:
    config = parse(["--config=mis_vitb448_sbd", f"--config=initial/{name}"])
    licence = licences.FILES[config["model"]["initial_weights"]]
    assert (licence.licence, licence.terms) == ("apache-2.0", "")
    assert config["model"]["model"]["init_args"]["dim"] == 768

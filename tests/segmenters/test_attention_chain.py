"""Planted attention is found by the walk; real ViTs give what their own attention computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.features.attention import ViTAttention
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.segmenters.attention_chain import (
    AttentionChainSegmenter,
    balanced,
    connected,
    steps_to_reach,
)
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click, Sample

GRID = (12, 16)
SIZE = (96, 128)


def parts() -> np.ndarray:
    """Ground 0, a square 1 of two halves 1 and 2 that attend to each other a little, and another square 3."""
    labels = np.zeros(GRID, int)
    labels[2:8, 2:5] = 1
    labels[2:8, 5:8] = 2
    labels[2:8, 11:14] = 3
    return labels


class Planted:
    """Patches attend to their own part, some to its other half, hardly to anything else."""

    def __init__(self, attractor: bool = False) -> None:
        self.attractor = attractor

    def __call__(self, image):
        labels = parts().ravel()
        same = labels[:, None] == labels
        halves = np.isin(labels, (1, 2))
        weights = np.where(same, 1.0, 0.002) + 0.2 * (halves[:, None] & halves & ~same)
        weights += 0.01 * np.random.default_rng(0).random(weights.shape)
        if self.attractor:
            weights[:, 0] += 30  # a patch to which all attend, as ViTs have them
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32), GRID

    def settings(self):
        return {"attention": "planted"}


def at(row: int, col: int, positive: bool = True) -> Click:
    return Click(row * 8 + 4, col * 8 + 4, positive)


def answer(*clicks: Click, attractor: bool = False) -> np.ndarray:
    segmenter = AttentionChainSegmenter(Planted(attractor))
    state = segmenter.begin(np.zeros((*SIZE, 3), np.uint8))
    (state,) = segmenter.click([state], [clicks])
    return segmenter.patches(state)


@pytest.mark.parametrize("attractor", [False, True])
def test_planted_parts_are_found(attractor) -> None:
    labels = parts()
    assert (answer(at(4, 3), attractor=attractor) == np.isin(labels, (1, 2))).all()  # both halves
    assert (answer(at(4, 12), attractor=attractor) == (labels == 3)).all()
    assert (answer(at(4, 3), at(4, 12)) == (labels > 0)).all()


def test_a_negative_click_takes_its_half_away() -> None:
    assert (answer(at(4, 3), at(4, 6, False)) == (parts() == 1)).all()


def test_only_what_hangs_together_belongs() -> None:
    region = np.zeros((4, 5), bool)
    region[0, :2] = region[3, 3:] = True
    assert connected(region, 1).sum() == 2
    assert not connected(region, 1)[3].any()


def test_the_chain_is_doubly_stochastic_and_time_grows_with_distance() -> None:
    chain = balanced(Planted(True)(None)[0])
    assert np.allclose(chain.sum(0), 1, atol=1e-2)
    assert np.allclose(chain.sum(1), 1, atol=1e-5)
    line = np.zeros((9, 9), np.float32)  # a walk on a line
    for patch in range(9):
        line[patch, max(patch - 1, 0)] += 0.5
        line[patch, min(patch + 1, 8)] += 0.5
    distance = steps_to_reach(line, 0, 0.3, 50)
    assert distance[0] == 0
    assert (np.diff(distance) > 0).all()
    assert steps_to_reach(np.eye(3, dtype=np.float32), 0, 0.3, 5).tolist() == [0, 6, 6]


def test_a_simulated_user_is_satisfied() -> None:
    mask = np.kron(np.isin(parts(), (1, 2)), np.ones((8, 8))).astype(bool)
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), mask, None, "planted")
    session = simulate_session(AttentionChainSegmenter(Planted()), sample, EvaluationSettings(max_clicks=5))
    assert session.ious[0] > 0.9


def test_the_weights_are_those_of_the_vit() -> None:
    extractor = ViTFeatures("vit_tiny_patch16_224", pretrained=False)
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    attention = ViTAttention(extractor, blocks=(1,))
    weights, grid = attention(image)
    assert weights.shape == (grid[0] * grid[1],) * 2
    assert np.allclose(weights.sum(1), 1, atol=1e-5)
    seen = []
    block = extractor.model.blocks[-1].attn
    hook = block.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    extractor(image)
    hook.remove()
    with torch.inference_mode():
        query, key, _ = block.qkv(seen[0]).reshape(1, -1, 3, block.num_heads, 64).permute(2, 0, 3, 1, 4)
        logits = (query @ key.transpose(-2, -1)) * 64**-0.5
        expected = logits[0, :, 1:, 1:].softmax(-1).mean(0)  # without the class token
    assert np.allclose(weights, expected.numpy(), atol=1e-5)
    assert attention.settings()["output"] == "attention"
    with pytest.raises(InputError, match=r"`blocks` in 1\.\.12"):
        ViTAttention(extractor, blocks=(13,))


def test_it_opens_by_name(tmp_path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file(ViTFeatures("vit_tiny_patch16_224", pretrained=False).model.state_dict(), path)
    segmenter = open_segmenter(f"attention-chain:vit_tiny_patch16_224@{path}", threshold=0.4)
    assert segmenter.identity == "attention-chain"
    assert segmenter.threshold == 0.4
    assert segmenter.settings()["model"] == "vit_tiny_patch16_224"
    with pytest.raises(InputError, match="no model"):
        open_segmenter("attention-chain:vit_nobody")


def test_bad_numbers() -> None:
    with pytest.raises(InputError, match="`reached` in"):
        AttentionChainSegmenter(Planted(), reached=1.5)

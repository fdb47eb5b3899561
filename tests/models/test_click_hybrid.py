"""The hybrid network: what it answers to, other sizes, saving and opening."""

from __future__ import annotations

import json

import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.models.click_hybrid import HybridClickViT, Residual
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.structures import Prompt

SHAPE = {"input_size": (32, 48), "dims": (4, 6, 8), "dim": 16, "depth": 2, "heads": 2, "codes": 4}


def network(seed: int = 0, **changes: object) -> HybridClickViT:
    torch.manual_seed(seed)
    return HybridClickViT(**{**SHAPE, **changes}).eval()  # type: ignore[arg-type]


def inputs(batch: int = 2, size: tuple[int, int] = (32, 48)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    points = torch.full((batch, 6, 3), -1.0)
    points[:, 0] = torch.tensor([10.0, 12.0, 0.0])
    points[:, 3] = torch.tensor([20.0, 30.0, 1.0])
    image = torch.rand(batch, 3, *size, generator=generator)
    return [image, torch.rand(batch, 1, *size, generator=generator), points]


def ask(model, image: torch.Tensor, previous: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return model(image, Prompt(points, previous))


@pytest.mark.parametrize("size", [(32, 48), (64, 16)])
def test_logits_of_the_image_size(size: tuple[int, int]) -> None:
    model = network()
    assert isinstance(model, ClickNetwork)
    logits = ask(model, *inputs(size=size))
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_input_counts(which: int) -> None:
    model, given = network(), inputs()
    before = ask(model, *given)
    given[which] = given[which].flip(2 if which < 2 else 1)
    assert not torch.allclose(ask(model, *given), before)


def test_every_weight_learns_and_samples_are_independent() -> None:
    model, given = network(), inputs()
    ask(model, *given).square().mean().backward()
    for name, weight in model.named_parameters():
        if name != "blocks.0.attn.qkv.bias":  # the bias of the keys cancels in the softmax
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name
    alone = ask(model, *(x[1:] for x in given))
    torch.testing.assert_close(ask(model, *given)[1:], alone, atol=1e-5, rtol=1e-5)


def test_the_evidence_sees_the_image_alone() -> None:
    model, (image, previous, points) = network(), inputs()
    seen = []
    model.evidence.to_codes.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    ask(model, image, previous, points)
    ask(model, image, 1 - previous, points.flip(1))
    assert torch.equal(seen[0], seen[1])


def test_blocks_start_as_the_identity() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 5, 5)
    assert (Residual(8)(x) - x).abs().max() < 0.05


def test_saved_and_opened(tmp_path) -> None:
    model = network(seed=3)
    folder = save_pretrained(model, tmp_path / "model")
    assert (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))["architecture"] == "HybridClickViT"
    )
    opened = load_pretrained(folder)
    assert isinstance(opened, HybridClickViT)
    assert opened.input_size == (32, 48)
    torch.testing.assert_close(ask(opened, *inputs()), ask(model, *inputs()))


def test_weights_go_on_at_another_size() -> None:
    small = network()
    large = network(input_size=(64, 96), position_grid=(2, 3))
    large.load_state_dict(small.state_dict())
    given = inputs(size=(64, 96))
    torch.testing.assert_close(ask(large, *given), ask(small, *given))
    assert large.input_size == (64, 96)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"input_size": (30, 48)}, "multiples of 16"),
        ({"heads": 3}, "multiple of `heads`"),
        ({"depth": 0}, "`depth` of at least 1"),
        ({"codes": 0}, "`codes` of at least 1"),
        ({"position_grid": (0, 2)}, "`position_grid` of at least 1x1"),
    ],
)
def test_shapes_that_do_not_fit(bad: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        network(**bad)


def test_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"multiples of 16 pixels, but got \(20, 48\)"):
        ask(network(), *inputs(size=(20, 48)))

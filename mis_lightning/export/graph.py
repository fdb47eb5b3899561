"""What all exported graphs share: dynamic dimensions, inputs and metadata."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mis_lightning import __version__
from mis_lightning.errors import InputError
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import describe
from mis_lightning.segmenters.asked_model import ClickModel, takes_granularity
from mis_lightning.structures import Prompt

TOLERANCE = 1e-4
"""Largest difference of a graph's logits from its model's; in units of the largest logit, at least 1."""


class FlatModel(nn.Module):
    """A click model whose inputs are three tensors, as a graph's are: image, previous mask, points."""

    def __init__(self, model: ClickNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, previous_mask: Tensor, points: Tensor) -> Tensor:
        """Logits, ``(B, 1, H, W)``."""
        return cast(Tensor, self.model(image, Prompt(points, previous_mask)))


class FlatSizedModel(FlatModel):
    """The same for a model that takes a granularity, its fourth input."""

    def forward(  # type: ignore[override]
        self, image: Tensor, previous_mask: Tensor, points: Tensor, granularity: Tensor
    ) -> Tensor:
        """Logits, ``(B, 1, H, W)``; ``granularity`` is NaN where an image has none."""
        return cast(Tensor, self.model(image, Prompt(points, previous_mask, granularity)))


def flat_model(model: ClickNetwork) -> FlatModel:
    """The model with flat inputs, in evaluation mode."""
    return (FlatSizedModel(model) if takes_granularity(model) else FlatModel(model)).eval()


def of_flat(graph: Callable[..., Tensor]) -> ClickModel:
    """The click model of a graph that takes three tensors, or four where a granularity is asked for."""

    def answered(image: Tensor, prompt: Prompt) -> Tensor:
        told = () if prompt.granularity is None else (prompt.granularity,)
        return graph(image, prompt.previous_mask, prompt.points.float(), *told)

    return answered


def free_dimensions(model: ClickNetwork) -> tuple[dict[int, Any], ...]:
    """Which dimensions of a model's flat inputs stay free: B everywhere, and 2K of the points."""
    batch, clicks = Dim("batch", min=1), Dim("clicks", min=1)
    flat = {0: batch}, {0: batch}, {0: batch, 1: 2 * clicks}
    return (*flat, {0: batch}) if takes_granularity(model) else flat


def example_inputs(model: ClickNetwork) -> tuple[Tensor, ...]:
    """Flat inputs that a model is captured with."""
    example = random_inputs(model.input_size, 2, 3, torch.Generator().manual_seed(0))
    return (*example, torch.tensor([0.5, float("nan")])) if takes_granularity(model) else example


def random_inputs(
    size: tuple[int, int], batch: int, clicks: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of a click model at random: image, previous mask and points, some rows of them unused.

    Args:
        size: ``(H, W)``.
        batch: B.
        clicks: K; each half of the points uses between 0 and K rows.
        generator: Random numbers.

    Returns:
        Float32 ``(B, 3, H, W)`` and ``(B, 1, H, W)`` in ``[0, 1]``, and ``(B, 2K, 3)``.
    """
    image = torch.rand(batch, 3, *size, generator=generator)
    previous = torch.rand(batch, 1, *size, generator=generator)
    position = torch.rand(batch, 2, clicks, 2, generator=generator) * torch.tensor(size)
    order = torch.arange(2 * clicks, dtype=torch.float32).reshape(2, clicks, 1).expand(batch, 2, clicks, 1)
    used = torch.randint(clicks + 1, (batch, 2, 1, 1), generator=generator)
    unused = torch.arange(clicks)[:, None] >= used
    points = torch.cat([position, order], dim=3).masked_fill(unused, -1)
    return image, previous, points.reshape(batch, 2 * clicks, 3)


def exported_program(model: ClickNetwork) -> ExportedProgram:
    """Capture the forward pass with :func:`torch.export.export`.

    The size of image and mask is fixed at ``model.input_size``: position tables depend on it, and predictors
    zoom to it anyway.
    """
    shapes = free_dimensions(model)
    with torch.no_grad():
        return torch.export.export(flat_model(model), example_inputs(model), dynamic_shapes=shapes)


def metadata(model: ClickNetwork, **more: Any) -> dict[str, Any]:
    """What an exported file says of itself, as JSON values.

    Returns:
        ``architecture``, ``config``, ``input_size``, ``click_radius`` (in pixels of the input), ``versions``,
        and ``more``.
    """
    config = describe(model)
    return {
        "architecture": config.pop("architecture"),
        "config": config,
        "input_size": list(model.input_size),
        "click_radius": config.get("click_radius"),
        "versions": {"mis_lightning": __version__, "torch": version("torch")},
        **more,
    }


def difference(model: ClickModel, other: ClickModel, size: tuple[int, int]) -> float:
    """Largest difference of the logits of two click models, in units of the largest logit, at least 1.

    Args:
        model: The one that the unit is taken from.
        other: The one to compare.
        size: ``(H, W)`` of the random images; batches and numbers of clicks vary, and where the model takes
            one the granularity does.
    """
    generator = torch.Generator().manual_seed(1)
    largest = 0.0
    for batch, clicks in ((1, 1), (3, 7)):
        image, previous_mask, points = random_inputs(size, batch, clicks, generator)
        told: tuple[Tensor | None, ...] = (None,)
        if takes_granularity(model):
            values = torch.linspace(0.3, 1.0, batch)
            told = (None, values, values.masked_fill(torch.arange(batch) == 0, float("nan")))
        for granularity in told:
            prompt = Prompt(points, previous_mask, granularity)
            with torch.no_grad():
                expected, got = model(image, prompt), other(image, prompt)
            unit = max(1.0, float(expected.abs().max()))
            largest = max(largest, float((expected - got).abs().max()) / unit)
    return largest


def checked(model: ClickNetwork, other: ClickModel) -> float:
    """The difference of an exported graph from its model.

    Raises:
        InputError: It is above ``TOLERANCE``.
    """
    found = difference(model, other, model.input_size)
    if not found <= TOLERANCE:
        raise InputError(
            f"The exported graph differs from the model by {found:.1e}, more than {TOLERANCE:.0e}: nothing "
            "was written. Try another --format or --opset."
        )
    return found

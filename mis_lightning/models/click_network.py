"""What every click-conditioned network of this project is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.structures import Prompt


class ClickNetwork(nn.Module):
    """A click model with weights: image, previous mask and clicks in, logits out.

    A subclass implements :meth:`forward` with the signature of a click model
    (:mod:`mis_lightning.structures`).

    Args:
        config: The arguments of the subclass that fix its shape, as JSON knows them.
        multiple_of: Sides of an image must be multiples of this many pixels.

    Attributes:
        config: As given.
        multiple_of: As given.
        made_from: Licences of what the weights were made from, as
            :func:`~mis_lightning.licences.touched` returns them; kept beside the weights.
        input_size: ``(height, width)`` the network is trained at; click predictors zoom to it.
        takes_granularity: Whether it takes the size of the wanted region (``Prompt.granularity``).
        recommended: How the model wants to be asked, as of
            :class:`~mis_lightning.segmenters.prediction_settings.PredictionSettings`; empty: as published.

    Raises:
        InputError: ``config["input_size"]`` is not a multiple of ``multiple_of``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any], multiple_of: int, why: str) -> None:
        super().__init__()
        self.config = config
        self.recommended: dict[str, Any] = {}
        self.takes_granularity = False
        self.made_from: list[dict[str, str]] = []
        self.multiple_of = multiple_of
        self.input_size: tuple[int, int] = (config["input_size"][0], config["input_size"][1])
        if any(side < 1 or side % multiple_of for side in self.input_size):
            raise InputError(
                f"Expected `input_size` in multiples of {multiple_of} pixels ({why}), "
                f"but got {self.input_size}."
            )
        self.register_buffer(
            "mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1), persistent=False
        )
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Answer the clicks; see the subclass."""
        raise NotImplementedError

    def normalise(self, image: Tensor) -> Tensor:
        """An image ``(B, 3, H, W)`` in [0, 1] -> ImageNet's mean and deviation.

        Raises:
            InputError: Its sides are not multiples of ``multiple_of``.
        """
        size = (image.shape[-2], image.shape[-1])
        if size[0] % self.multiple_of or size[1] % self.multiple_of:
            raise InputError(
                f"Expected an image size in multiples of {self.multiple_of} pixels, but got {size}."
            )
        return (image - self.mean) / self.std


def check_transformer(config: dict[str, Any], *counts: str) -> None:
    """Check the numbers of a transformer's config.

    Args:
        config: With ``dim`` and ``heads``.
        *counts: Entries that must be at least 1 where they are not ``None``.

    Raises:
        InputError: One is out of range, or the heads do not divide the channels.
    """
    for name in ("heads", *counts):
        if config[name] is not None and config[name] < 1:
            raise InputError(f"Expected `{name}` of at least 1, but got {config[name]}.")
    if config["dim"] < 1 or config["dim"] % config["heads"]:
        raise InputError(
            f"Expected `dim` to be a multiple of `heads`, but got {config['dim']} and {config['heads']}."
        )

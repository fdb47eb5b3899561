"""Patch features of a frozen self-supervised ViT, by its timm name (spec A1)."""

from __future__ import annotations

import hashlib
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.features.position_table import interpolate_reference
from mis_lightning.features.scaling import resize_bicubic, scaled_size


class ViTFeatures:
    """Tokens of the last block after the final LayerNorm, class and register tokens dropped.

    Args:
        model: A timm name, e.g. ``vit_small_patch8_224.dino``, ``vit_small_patch14_dinov2.lvd142m``.
        checkpoint: Local weights file (``.pth`` or ``.safetensors``) instead of the hub's.
        pretrained: ``False`` gives random weights drawn from ``seed``: for tests and dry runs only.
        interpolation: ``"reference"``: position table as the published extractors do it (spec A1.3);
            ``"timm"``: timm's own, for models whose positions are not one square table (DINOv3).
        max_tokens: Larger images are scaled down to about this many tokens, with a warning.
        device: Where the model runs.
        seed: Seed of the random weights where ``pretrained`` is ``False``.

    Raises:
        InputError: Unknown model, unreadable weights, or no network to fetch them.
    """

    def __init__(
        self,
        model: str = "vit_small_patch8_224.dino",
        checkpoint: str | None = None,
        pretrained: bool = True,
        interpolation: Literal["reference", "timm"] = "reference",
        max_tokens: int = 40_000,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if interpolation not in ("reference", "timm"):
            raise InputError(
                f"Expected `interpolation` to be 'reference' or 'timm', but got {interpolation!r}."
            )
        self.model_name = model
        self.interpolation = interpolation
        self.max_tokens = max_tokens
        self.device = torch.device(device)
        self.model = _create(model, checkpoint, pretrained, seed).eval().requires_grad_(False).to(self.device)
        self.patch = int(self.model.patch_embed.patch_size[0])
        if interpolation == "reference" and self.model.pos_embed is None:
            raise InputError(f"{model} has no learned position table; use interpolation='timm'.")
        data = timm.data.resolve_model_data_config(self.model)
        self.mean = torch.tensor(data["mean"]).reshape(1, 3, 1, 1)
        self.std = torch.tensor(data["std"]).reshape(1, 3, 1, 1)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        size = scaled_size((image.shape[0], image.shape[1]), self.patch, self.max_tokens)
        if size != scaled_size((image.shape[0], image.shape[1]), self.patch):
            warnings.warn(
                f"An image of {image.shape[1]}×{image.shape[0]} pixels exceeds max_tokens={self.max_tokens}; "
                f"its features are taken at {size[1]}×{size[0]}.",
                stacklevel=2,
            )
        tensor = torch.from_numpy(resize_bicubic(image, size).copy()).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            tokens = self.tokens(((tensor - self.mean) / self.std).to(self.device))
        grid = (size[0] // self.patch, size[1] // self.patch)
        return tokens[0].float().cpu().numpy(), grid

    def tokens(self, normalised: Tensor) -> Tensor:
        """Return patch tokens ``(B, n, c)`` of a normalised batch ``(B, 3, H, W)``, row-major."""
        model = self.model
        if self.interpolation == "timm":
            return model.forward_features(normalised)[:, model.num_prefix_tokens :]
        patches = model.patch_embed(normalised)  # (B, h, w, D): timm keeps the grid for dynamic sizes
        grid = (patches.shape[1], patches.shape[2])
        prefix = model.num_prefix_tokens
        table = model.pos_embed if model.no_embed_class else model.pos_embed[:, prefix:]
        x = patches.flatten(1, 2) + interpolate_reference(table, grid)
        heads = [t for t in (model.cls_token, getattr(model, "reg_token", None)) if t is not None]
        if heads:
            first = torch.cat(heads, dim=1)
            first = first if model.no_embed_class else first + model.pos_embed[:, :prefix]
            x = torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1)
        return model.norm(model.blocks(model.norm_pre(x)))[:, prefix:]

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over all weights, the first 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """Return everything that fixes the output, for the manifest of the store."""
        return {
            "extractor": "vit",
            "model": self.model_name,
            "weights": self.weights_digest,
            "patch_size": self.patch,
            "scaling": "patch/8",
            "interpolation": self.interpolation,
            "max_tokens": self.max_tokens,
        }


def _create(name: str, checkpoint: str | None, pretrained: bool, seed: int) -> Any:
    if not timm.is_model(name.removeprefix("hf-hub:")) and not name.startswith("hf-hub:"):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0]}*", pretrained=True)[:6])
        raise InputError(
            f"timm knows no model {name!r}." + (f" Did you mean one of: {near}?" if near else "")
        )
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise InputError(f"No weights file at {checkpoint}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return timm.create_model(
                name,
                pretrained=pretrained and checkpoint is None,
                checkpoint_path=checkpoint or "",
                num_classes=0,
                dynamic_img_size=True,
            )
        except TypeError as error:
            raise InputError(f"{name} is not a plain ViT that takes any image size: {error}.") from error
        except Exception as error:
            if checkpoint is not None:
                raise InputError(f"{checkpoint} does not hold weights for {name}: {error}") from error
            raise InputError(_how_to_fetch(name, error)) from error


def _how_to_fetch(name: str, error: Exception) -> str:
    config = timm.get_pretrained_cfg(name)
    hub = (
        f"https://huggingface.co/{config.hf_hub_id}"
        if config and config.hf_hub_id
        else "https://huggingface.co/timm"
    )
    direct = f" or {config.url}" if config and config.url else ""
    return (
        f"The weights of {name} could not be fetched ({type(error).__name__}). Fetch `model.safetensors` from {hub}{direct} "
        "on a machine with network, put it anywhere, and set `checkpoint: /path/to/model.safetensors`; "
        "or use the weights-free extractor `mis_lightning.features.colour_texture.ColourTexture`."
    )

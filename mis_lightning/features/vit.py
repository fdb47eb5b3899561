"""Patch features of a frozen self-supervised ViT, by its timm name.

Rule: docs/protocol.md#patch-features.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import timm
import torch
from huggingface_hub import hf_hub_download
from numpy.typing import NDArray
from timm.data.config import resolve_model_data_config
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from mis_lightning import licences
from mis_lightning.errors import InputError
from mis_lightning.features.device import extractor_device
from mis_lightning.features.hub_problem import hub_problem
from mis_lightning.features.position_table import interpolate_reference, sincos_table
from mis_lightning.features.scaling import MAX_TOKENS, Scaling, scale_image
from mis_lightning.weight_files import read_weights, without_wrappers

Interpolation = Literal["reference", "bilinear", "timm"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # docs/protocol.md#patch-grid
IMAGENET_STD = (0.229, 0.224, 0.225)
MOCO_PREFIX = "module.base_encoder."


class PositionTableError(InputError):
    """The model has no table of positions that the published rule could interpolate."""


class ViTFeatures:
    """Tokens of the last block after the final LayerNorm (or its keys), class and register tokens dropped.

    Args:
        model: A timm name, e.g. ``vit_small_patch8_224.dino``, ``vit_small_patch14_dinov2.lvd142m``.
        checkpoint: Local weights file (``.pth`` or ``.safetensors``) instead of the hub's, as published by
            timm, DINO, DINOv2 or MoCo v3 (for the last with ``model: vit_small_patch16_224`` or
            ``vit_base_patch16_224``; its 12 heads are set here). Nothing in the file is executed.
        pretrained: ``False`` gives random weights drawn from ``seed``: for tests and dry runs only.
        interpolation: ``"reference"``: position table as the published extractors do it
            (docs/protocol.md#extractor-positions), bicubic; ``"bilinear"``: at the same places, as the
            supplement of MIS says; ``"timm"``: timm's own, for models whose positions are not one square
            table (DINOv3). DINOv2 with registers was published with a rule closer to ``"timm"``.
        max_tokens: Larger images are scaled down to about this many tokens, with a warning.
        output: ``"tokens"``: the tokens that MIS merges; ``"keys"``: the keys of the last block's attention,
            bias included, heads side by side, which TokenCut and deep spectral methods use.
        scaling: ``"patch/8"``: as MIS does (docs/protocol.md#patch-grid); ``"nearest"``: Lanczos to the
            nearest multiples of the patch (TokenCut); ``"crop"``: no resize, cut off at the right and the
            bottom to multiples of the patch (deep spectral methods).
        device: Where the model runs, e.g. ``"cuda"``; any other than ``"cpu"`` is not shared among workers.
        seed: Seed of the random weights where ``pretrained`` is ``False``.

    Raises:
        InputError: Unknown model, unreadable weights, or no network to fetch them.
    """

    def __init__(
        self,
        model: str = "vit_small_patch8_224.dino",
        checkpoint: str | None = None,
        pretrained: bool = True,
        interpolation: Interpolation = "reference",
        max_tokens: int = MAX_TOKENS,
        output: Literal["tokens", "keys"] = "tokens",
        scaling: Scaling = "patch/8",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if interpolation not in get_args(Interpolation):
            raise InputError(
                f"Expected `interpolation` in {get_args(Interpolation)}, but got {interpolation!r}."
            )
        if max_tokens < 1:
            raise InputError(f"Expected `max_tokens` of at least 1, but got {max_tokens}.")
        if output not in ("tokens", "keys"):
            raise InputError(f"Expected `output` to be 'tokens' or 'keys', but got {output!r}.")
        if scaling not in get_args(Scaling):
            raise InputError(f"Expected `scaling` in {get_args(Scaling)}, but got {scaling!r}.")
        self.output = output
        self.scaling: Scaling = scaling
        self.model_name = model
        self.interpolation = interpolation
        self.max_tokens = max_tokens
        self.device = extractor_device(device)
        self._placed = False  # moved when first called: walking through all weights takes as long as decoding
        weights = None if checkpoint is None else _read_weights(checkpoint)
        moco = weights is not None and any(name.startswith(MOCO_PREFIX) for name in weights)
        self.model = _create(model, pretrained and weights is None, seed, {"num_heads": 12} if moco else {})
        if weights is not None:
            _load(self.model, weights, f"{checkpoint} does not hold weights of {model}")
        if checkpoint is not None:
            licences.touch(licences.of_file(checkpoint, f"weights of {model}", model))
        elif pretrained:
            licences.touch(licences.of_timm_model(model))
        self.model.eval().requires_grad_(False)
        self.patch = int(self.model.patch_embed.patch_size[0])
        if interpolation != "timm" and not (
            type(self.model) is VisionTransformer and self.model.pos_embed is not None
        ):
            raise PositionTableError(
                f"{model} is not a plain ViT with a table of positions; use interpolation='timm'."
            )
        data = resolve_model_data_config(self.model)
        # timm's own weights of MoCo's architecture were trained with other means.
        self.mean: tuple[float, ...] = IMAGENET_MEAN if moco else data["mean"]
        self.std: tuple[float, ...] = IMAGENET_STD if moco else data["std"]

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        return self.extract(self.prepare(image))

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What of the work needs no GPU, for the processes that read images: scaling, uint8 ``(h, w, 3)``."""
        return scale_image(image, self.patch, self.scaling, self.max_tokens)

    def extract(self, resized: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """The rest of the work, on what :meth:`prepare` returned."""
        size = (resized.shape[0], resized.shape[1])
        with torch.inference_mode():
            if not self._placed:
                self.model.to(self.device)
                self._placed = True
            tensor = torch.from_numpy(resized.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255
            mean, std = (tensor.new_tensor(values).reshape(1, 3, 1, 1) for values in (self.mean, self.std))
            normalised = (tensor - mean) / std
            tokens = self.keys(normalised) if self.output == "keys" else self.tokens(normalised)
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
        x = patches.flatten(1, 2) + interpolate_reference(table, grid, self.interpolation == "bilinear")
        heads = [t for t in (model.cls_token, getattr(model, "reg_token", None)) if t is not None]
        if heads:
            first = torch.cat(heads, dim=1)
            first = first if model.no_embed_class else first + model.pos_embed[:, :prefix]
            x = torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1)
        return model.norm(model.blocks(model.norm_pre(x)))[:, prefix:]

    def keys(self, normalised: Tensor) -> Tensor:
        """Return the last block's keys ``(B, n, c)`` of the patches of a normalised batch, row-major."""
        seen: list[Tensor] = []
        hook = self.model.blocks[-1].attn.qkv.register_forward_hook(
            lambda _module, _inputs, projected: seen.append(projected)
        )
        try:
            self.tokens(normalised)
        finally:
            hook.remove()
        if not seen:
            raise InputError(f"{self.model_name} does not expose its keys; use output='tokens'.")
        return seen[0].chunk(3, dim=-1)[1][:, self.model.num_prefix_tokens :]

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over all weights, the first 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """Return everything that determines the output, for the manifest of the store."""
        return {
            "extractor": "vit",
            "model": self.model_name,
            "weights": self.weights_digest,
            "patch_size": self.patch,
            "mean": list(self.mean),
            "std": list(self.std),
            "scaling": self.scaling,
            "output": self.output,
            "interpolation": self.interpolation,
            "max_tokens": self.max_tokens,
        }


def _create(name: str, pretrained: bool, seed: int, extra: Mapping[str, Any]) -> Any:
    if not name.startswith("hf-hub:"):
        _check_name(name, pretrained)
    if pretrained:
        extra = {**extra, **_fetched(name)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = timm.create_model(
                name, pretrained=pretrained, num_classes=0, dynamic_img_size=True, **extra
            )
        except TypeError as error:
            raise InputError(_no_vit(name)) from error
        except Exception as error:
            if pretrained:
                raise InputError(_how_to_fetch(name, error)) from error
            raise InputError(f"timm cannot make the model {name}: {error}") from error
    if not hasattr(getattr(model, "patch_embed", None), "patch_size"):
        raise InputError(_no_vit(name))
    return model


def _fetched(name: str) -> dict[str, Any]:
    """See to it that timm finds the weights at once, or say at once that it cannot.

    Where the hub does not answer, timm would try again for more than a minute.

    Raises:
        InputError: The hub cannot be reached, and the weights are not in its cache.
    """
    config = None if name.startswith("hf-hub:") else timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config else name.removeprefix("hf-hub:")
    if not repository:
        return {}
    unreachable = hub_problem(repository)
    if unreachable is None:
        return {}
    file = (config.hf_hub_filename if config else None) or "model.safetensors"
    try:
        path = hf_hub_download(repository, file, local_files_only=True)
    except Exception:
        raise InputError(_how_to_fetch(name, unreachable)) from None
    return {"pretrained_cfg_overlay": {"file": path}} if config else {}


def _no_vit(name: str) -> str:
    return f"{name} is not a ViT that takes any image size; choose one such as vit_small_patch8_224.dino."


def _check_name(name: str, pretrained: bool) -> None:
    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # a known architecture with an unknown tag
        config = None
    if config is None and (pretrained or not timm.is_model(name) or "." in name):
        near = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=5)
        hint = f" Did you mean one of: {', '.join(near)}?" if near else ""
        raise InputError(f"timm {timm.__version__} knows no model {name!r}.{hint}")
    if pretrained and config is not None and not (config.hf_hub_id or config.url):
        raise InputError(f"timm has no weights of {name}; set `checkpoint: /path/to/weights.safetensors`.")


def _how_to_fetch(name: str, error: Exception) -> str:
    config = None if name.startswith("hf-hub:") else timm.get_pretrained_cfg(name)
    hub = (config.hf_hub_id if config else name.removeprefix("hf-hub:")) or "timm"
    original = config.url if config and str(config.url).endswith((".pth", ".pt")) else ""
    return (
        f"The weights of {name} could not be fetched ({type(error).__name__}). Their licence is "
        f"{_terms(licences.of_timm_model(name))}. On a machine with network access, "
        f"fetch the file model.safetensors from https://huggingface.co/{hub}"
        + (f" or the original {original}" if original else "")
        + ", put it anywhere on this machine and set `checkpoint: /path/to/model.safetensors`; or use the "
        "extractor without weights, `mis_lightning.features.colour_texture.ColourTexture`."
    )


def _terms(licence: licences.Licence) -> str:
    return f"{licence.licence}{f' ({licence.terms})' if licence.terms else ''}"


def _read_weights(path: str) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise InputError(f"No weights file at {path}. {licences.how_to_get(path)}".rstrip())
    content = read_weights(path)
    for entry in ("state_dict", "model"):
        content = content.get(entry, content) if isinstance(content, Mapping) else {}
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise InputError(f"{path} holds no weights by name.")
    return weights if any(name.startswith(MOCO_PREFIX) for name in weights) else without_wrappers(weights)


def _load(model: Any, weights: dict[str, Tensor], complaint: str) -> None:
    """Load published weights; every weight of the model must be there, in its size."""
    if any(name.startswith(MOCO_PREFIX) for name in weights):  # docs/protocol.md#moco-v3-files
        encoder = {k.removeprefix(MOCO_PREFIX): v for k, v in weights.items() if k.startswith(MOCO_PREFIX)}
        weights = {k: v for k, v in encoder.items() if "head" not in k and "predictor" not in k}
        side = math.isqrt(model.patch_embed.num_patches)
        weights.setdefault("pos_embed", sincos_table(side, model.embed_dim))
    _check_same_patches(model, weights, complaint)
    if isinstance(model, VisionTransformer):
        weights = checkpoint_filter_fn(weights, model)  # names and layout of DINOv2's own files
    wanted = model.state_dict()
    weights = {k: v for k, v in weights.items() if k in wanted or not k.startswith(("head.", "fc_norm."))}
    odd = [k for k in {**wanted, **weights} if (k in wanted) != (k in weights)]
    odd += [k for k in weights if k in wanted and weights[k].shape != wanted[k].shape]
    if odd:
        shown = ", ".join(odd[:3])
        raise InputError(
            f"{complaint}: {len(odd)} entries are missing, too many or of another size ({shown}, ...)."
        )
    model.load_state_dict(weights)


def _check_same_patches(model: Any, weights: Mapping[str, Tensor], complaint: str) -> None:
    """Refuse what timm's conversion would resample in silence: another patch size, another position table."""
    kernel, table = (weights.get(name) for name in ("patch_embed.proj.weight", "pos_embed"))
    side = model.patch_embed.patch_size[0]
    if kernel is not None and kernel.ndim == 4 and kernel.shape[-1] != side:
        raise InputError(f"{complaint}: its patches are {kernel.shape[-1]} pixels wide, not {side}.")
    if table is not None and getattr(model, "pos_embed", None) is not None:
        expected = model.pos_embed.shape[1] + ("register_tokens" in weights)  # there the class has a position
        if table.shape[1] != expected:
            raise InputError(f"{complaint}: it has {table.shape[1]} positions, not {expected}.")

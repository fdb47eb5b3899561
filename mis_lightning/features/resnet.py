"""Dense features of a ResNet-101, as Free Mask takes them.

Rule: docs/protocol.md#free-mask, step 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning import licences
from mis_lightning.errors import InputError
from mis_lightning.features.device import extractor_device
from mis_lightning.weight_files import read_weights

MEAN = (123.675, 116.28, 103.53)  # of RGB in 0..255
STD = (58.395, 57.12, 57.375)
PREFIXES = (
    "module.encoder_q.",
    "module.backbone.",
    "module.",
    "_orig_mod.",
    "backbone.bottom_up.",
    "backbone.",
    "encoder.",
)


class ResNetFeatures:
    """The last stage of a ResNet (stride 32, 2048 channels), batch norm as trained.

    Args:
        model: A timm name of a ResNet.
        checkpoint: Weights file (``.pth`` or ``.safetensors``) in torchvision's, MoCo's, DenseCL's or
            detectron2's naming; for Free Mask DenseCL, ResNet-101, 200 epochs on ImageNet. Nothing in the
            file is executed.
        pretrained: Without a checkpoint: fetch timm's weights (supervised, not those of Free Mask), or
            ``False`` for random ones drawn from ``seed``.
        shorter: The shorter side of the image becomes this long in pixels, unless
        longer: the longer one would exceed this.
        device: Where the model runs.
        seed: Of random weights.

    Raises:
        InputError: The weights are not there, cannot be read, or do not fit.
    """

    def __init__(
        self,
        model: str = "resnet101",
        checkpoint: str | None = None,
        pretrained: bool = True,
        shorter: int = 800,
        longer: int = 1333,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if not 32 <= shorter <= longer:
            raise InputError(f"Expected 32 <= `shorter` <= `longer`, but got {shorter} and {longer}.")
        self.model_name = model
        self.shorter = shorter
        self.longer = longer
        self.device = extractor_device(device)
        fetch = pretrained and checkpoint is None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                self.model = timm.create_model(model, pretrained=fetch, features_only=True, out_indices=[4])
            except Exception as error:
                raise InputError(
                    f"The ResNet {model!r} or its weights are not there ({error}). Free Mask uses DenseCL's "
                    "ResNet-101 (densecl_r101_imagenet_200ep.pth, linked at "
                    "github.com/WXinlong/DenseCL): fetch it and name it in `checkpoint`, or say "
                    "pretrained=False for random weights."
                ) from error
        if checkpoint is not None:
            _load(self.model, checkpoint)
            licences.touch(licences.of_file(checkpoint, f"weights of {model}"))
        elif pretrained:
            licences.touch(licences.of_timm_model(model))
        self.model.eval().requires_grad_(False)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features; see :class:`~mis_lightning.features.extractor.PatchExtractor`."""
        height, width = image.shape[:2]
        scale = min(self.shorter / min(height, width), self.longer / max(height, width))
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        with torch.inference_mode():
            mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
            batch = (torch.from_numpy(resized).permute(2, 0, 1)[None].float() - mean) / std
            dense: Tensor = self.model.to(self.device)(batch.to(self.device))[0][0]
        grid = (int(dense.shape[1]), int(dense.shape[2]))
        return dense.flatten(1).T.float().cpu().contiguous().numpy(), grid

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over all weights, the first 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def settings(self) -> dict[str, Any]:
        """Return everything that determines the output."""
        return {
            "extractor": "resnet",
            "model": self.model_name,
            "weights": self.weights_digest,
            "shorter": self.shorter,
            "longer": self.longer,
        }


def torchvision_name(name: str) -> str:
    """Translate the name of a weight from MoCo's, DenseCL's or detectron2's naming to torchvision's.

    >>> torchvision_name("module.encoder_q.layer1.0.bn2.weight")
    'layer1.0.bn2.weight'
    >>> torchvision_name("backbone.res3.0.shortcut.norm.running_mean")
    'layer2.0.downsample.1.running_mean'
    >>> torchvision_name("stem.conv1.weight"), torchvision_name("res5.2.conv3.norm.bias")
    ('conv1.weight', 'layer4.2.bn3.bias')
    """
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    name = name.removeprefix("stem.")
    name = re.sub(r"^res([2-5])\.", lambda stage: f"layer{int(stage[1]) - 1}.", name)
    name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
    return re.sub(r"conv(\d)\.norm\.", r"bn\1.", name)


def _load(model: torch.nn.Module, checkpoint: str) -> None:
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise InputError(
            f"Expected the weights of a ResNet, but there is no such file: {path}. "
            f"{licences.how_to_get(path)}".strip()
        )
    if path.suffix == ".pkl":
        raise InputError(f"{path} is a pickle of detectron2, which is not opened: take the .pth.")
    state = read_weights(path)
    for level in ("state_dict", "model"):
        state = state.get(level, state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds no weights by name.")
    named = {torchvision_name(str(name)): value for name, value in state.items()}
    wanted = model.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in named and name not in counters]
    wrong = [
        name for name in wanted if name in named and getattr(named[name], "shape", None) != wanted[name].shape
    ]
    if missing or wrong:
        raise InputError(
            f"{path} does not hold the weights of this ResNet: {len(missing)} missing, {len(wrong)} of "
            f"another shape, e.g. {(missing + wrong)[0]}."
        )
    model.load_state_dict({name: named.get(name, value) for name, value in wanted.items()})

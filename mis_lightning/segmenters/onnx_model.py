"""An exported click model, run by onnxruntime: a click model like any other, without its network's code."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.structures import Prompt

INPUTS = ("image", "previous_mask", "points")
GRANULARITY = "granularity"
"""Input of a file whose model takes it; NaN where it is left out."""
OUTPUT = "logits"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""Who computes on which kind of device."""


class OnnxClickModel:
    """Answers clicks with a ``.onnx`` file of ``mis export``; the signature is that of a click model.

    Args:
        path: The file.
        device: Where onnxruntime computes; ``"cuda"`` needs the package onnxruntime-gpu.

    Attributes:
        input_size: ``(height, width)`` of image and mask; the only size the file takes.
        takes_granularity: Whether the file has an input for the size of the wanted region.
        fixed_size: Other models also take images of another size; this one does not.
        metadata: What the export wrote into the file: ``architecture``, ``config``, ``input_size``,
            ``click_radius``, ``opset`` and ``versions``.

    Raises:
        InputError: onnxruntime is missing, the device is not there, or the file is no exported click model.
    """

    fixed_size = True

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        self._path = Path(path)
        self._session = _open(self._path, torch.device(device))
        stored = self._session.get_modelmeta().custom_metadata_map
        names = tuple(one.name for one in self._session.get_inputs())
        optional = tuple(one.name for one in self._session.get_overridable_initializers())
        outputs = tuple(one.name for one in self._session.get_outputs())
        self.takes_granularity = GRANULARITY in optional
        try:
            self.metadata: dict[str, Any] = {key: json.loads(text) for key, text in stored.items()}
            height, width = self.metadata["input_size"]
            self.input_size: tuple[int, int] = (int(height), int(width))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} is not a click model: it does not say its input size. Make one with `mis export`."
            ) from error
        if names != INPUTS or outputs != (OUTPUT,):
            raise InputError(
                f"Expected the inputs {', '.join(INPUTS)} and the output {OUTPUT} in {path}, "
                f"but got {', '.join(names)} and {', '.join(outputs)}. Make it with `mis export`."
            )

    @property
    def recommended(self) -> dict[str, Any]:
        """How the model wants to be asked; empty: as published."""
        config = self.metadata.get("config")
        kept = config.get("recommended") if isinstance(config, dict) else None
        return dict(kept) if isinstance(kept, dict) else {}

    @cached_property
    def identity(self) -> str:
        """A name that tells whether two files are the same (:mod:`mis_lightning.segmenters.identity`)."""
        return f"onnx-{hashlib.sha256(self._path.read_bytes()).hexdigest()[:16]}"

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        """Answer clicks.

        Args:
            image: Float, ``(B, 3, H, W)``, in ``[0, 1]``; ``(H, W)`` is ``input_size``.
            prompt: Clicks and previous mask, and the granularity where the file takes it.

        Returns:
            Logits, float32, ``(B, 1, H, W)``, on the device of ``image``.

        Raises:
            InputError: The image has another size.
        """
        size = (image.shape[-2], image.shape[-1])
        if size != self.input_size:
            raise InputError(
                f"Expected images of {self.input_size}, the size of the exported model, but got {size}."
            )
        given = zip(INPUTS, (image, prompt.previous_mask, prompt.points), strict=True)
        arrays = {
            name: np.ascontiguousarray(part.detach().cpu().numpy(), dtype=np.float32) for name, part in given
        }
        if prompt.granularity is not None and self.takes_granularity:
            arrays[GRANULARITY] = prompt.granularity.detach().cpu().numpy().astype(np.float32)
        (logits,) = self._session.run([OUTPUT], arrays)
        return torch.from_numpy(logits).to(image.device)


def _open(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f'Running {path} needs onnxruntime: pip install "mis-lightning[export]"') from None
    if not path.is_file():
        raise InputError(f"Expected an exported model, but there is nothing at {path}.")
    provider = PROVIDERS.get(device.type)
    if provider not in onnxruntime.get_available_providers():
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} does not compute on {device}; use the device 'cpu', or "
            "for 'cuda' install onnxruntime-gpu in its place."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    settings = {"device_id": device.index or 0} if device.type == "cuda" else {}
    try:
        return onnxruntime.InferenceSession(path, options, providers=[(provider, settings)])
    except Exception as error:
        raise InputError(f"{path} cannot be read as an ONNX model: {str(error).splitlines()[0]}") from error

"""``mis export``: export of a click model."""

from __future__ import annotations

from collections.abc import Sequence

from mis_lightning.commands import options
from mis_lightning.errors import InputError
from mis_lightning.export.onnx import OPSET, export_onnx
from mis_lightning.export.torchscript import export_pt2, export_torchscript
from mis_lightning.models.pretrained import load_pretrained, save_pretrained


def main(args: Sequence[str]) -> int:
    """Run ``mis export MODEL --format FORMAT --out PATH``.

    Raises:
        InputError: No such model, an option that does not fit the format, or a missing extra.
    """
    given = options.export().parse_args(args)
    if given.opset is not None and given.format != "onnx":
        raise InputError(f"Expected --opset with --format onnx only, but got it with {given.format}.")
    model = load_pretrained(given.model)
    if given.format == "safetensors":
        print(f"{save_pretrained(model, given.out)}: weights as safetensors, with config.json")
        return 0
    if given.format == "onnx":
        found = export_onnx(model, given.out, given.opset if given.opset is not None else OPSET)
    else:
        found = {"torchscript": export_torchscript, "pt2": export_pt2}[given.format](model, given.out)
    height, width = model.input_size
    print(
        f"{given.out}: image (B, 3, {height}, {width}), previous_mask (B, 1, {height}, {width}), "
        "points (B, 2K, 3)"
    )
    print(f"largest difference from PyTorch on random inputs: {found:.1e}")
    if given.format == "onnx":
        print(f"predict: ClickPredictor.from_pretrained({str(given.out)!r})")
    return 0

"""``mis export``: export of a click model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mis_lightning.errors import InputError
from mis_lightning.export.onnx import OPSET, export_onnx
from mis_lightning.export.torchscript import export_pt2, export_torchscript
from mis_lightning.models.pretrained import load_pretrained, save_pretrained


def main(args: Sequence[str]) -> int:
    """Run ``mis export MODEL --format FORMAT --out PATH``.

    Raises:
        InputError: No such model, an option that does not fit the format, or a missing extra.
    """
    parser = argparse.ArgumentParser(
        prog="mis export",
        description="Write a click model for other programs: image (B, 3, H, W) in [0, 1], previous_mask "
        "(B, 1, H, W) and points (B, 2K, 3) -> logits (B, 1, H, W). The clicks are drawn inside the graph; B "
        "and K are free, H and W are the model's input size. The file is compared with the model before it "
        "gets its name.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a model folder, a .ckpt of `mis fit`, or owner/name on the hub")
    parser.add_argument(
        "--format",
        required=True,
        choices=("onnx", "torchscript", "pt2", "safetensors"),
        help="onnx: for onnxruntime, and ClickPredictor.from_pretrained reads it; torchscript: for libtorch "
        "(torch.jit is deprecated); pt2: its successor, for torch.export.load; safetensors: a model folder",
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="the file; for safetensors a folder or a file"
    )
    parser.add_argument("--opset", type=int, help=f"ONNX operator set version (default: {OPSET})")
    given = parser.parse_args(args)
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

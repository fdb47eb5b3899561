"""Files of weights, ours or others': opened without executing anything, and said by what they are if not.

``.safetensors`` hold numbers only. Of a pickle (``.pth``, ``.pt``, ``.bin``) tensors and plain values are
read, and a few harmless objects that training scripts leave beside them: ``argparse.Namespace``, numbers
and arrays of numpy.
"""

from __future__ import annotations

import argparse
import codecs
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from mis_lightning.errors import InputError

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_numpy: Any = getattr(np, "_core", None) or np.core
_CORES = ("core", "_core")  # of numpy 1 and 2
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"},
    *((_numpy.multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in _CORES),
    *(
        (_numpy.multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct")
        for core in ("core", "_core")
    ),
    np.ndarray,
    codecs.encode,
]


def read_weights(path: str | Path, mmap: bool = False) -> Any:
    """Read a file of weights, on the CPU.

    Args:
        path: A ``.safetensors`` file, or a pickle by any other name.
        mmap: Leave the numbers on disk until they are used.

    Returns:
        Tensors by name, or what else the pickle holds.

    Raises:
        InputError: There is none, or the file is something else; the message says what.
    """
    path = Path(path)
    complaint = what_it_is(path)
    if complaint:
        raise InputError(f"{path} {complaint}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is said below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        raise InputError(f"{path} {_why_not(error, path)}") from error


def what_it_is(path: Path) -> str:
    """What a file is that surely holds no weights, as the end of a sentence; empty if it may hold some."""
    if path.is_dir():
        return "is a folder; expected a file of weights."
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        return "does not exist."
    except OSError as error:
        return f"cannot be read: {error.strerror}."
    start = head.lstrip()[:1]
    if not head:
        return "is empty (0 bytes): the download has failed. Fetch it again."
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder."
    if start == b"<":
        return "is a web page, not weights: fetch it from the link that downloads the file itself."
    if start in (b"{", b"[") and path.suffix != ".safetensors":
        return "is JSON, not weights: take the file of weights beside it."
    if head.startswith(b"\x1f\x8b"):
        return "is compressed (gzip): unpack it first."
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file, as Keras writes them: only PyTorch's and safetensors are read."
    if (
        path.suffix != ".safetensors"
        and head[8:9] == b"{"
        and 0 < int.from_bytes(head[:8], "little") < 1 << 27
    ):
        return "holds safetensors under another name: rename it to end in .safetensors."
    if path.suffix == ".safetensors" and head.startswith((b"PK\x03\x04", b"\x80")):
        return "is a pickle, not safetensors: rename it to end in .pth."
    return ""


def without_wrappers(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights by the names they had before DataParallel or torch.compile wrapped the network.

    >>> without_wrappers({"module._orig_mod.a": 1, "module._orig_mod.b": 2})
    {'a': 1, 'b': 2}
    """
    names = dict(weights)
    while names:
        prefix = next((one for one in WRAPPERS if all(str(name).startswith(one) for name in names)), None)
        if prefix is None:
            break
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names


def _why_not(error: Exception, path: Path) -> str:
    """What is wrong with a file of weights, as the end of a sentence, from the words of who read it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    found = re.search(r"(?:Unsupported global: GLOBAL|Unsupported class|GLOBAL) ([\w.]+)", text)
    if found and found[1].split(".")[0] in ("isegm", "mis"):
        return "is a published click model: `mis import-checkpoint` makes a model folder of it."
    if found:
        return (
            f"holds more than weights: an object of {found[1]}, which is not opened, since a pickle can run "
            "any program. Load it with the program that wrote it, and save its `state_dict()` alone."
        )
    if "TorchScript" in text:
        return "is a TorchScript program, not weights: save the `state_dict()` of its network."
    with path.open("rb") as file:
        begins_well = path.suffix == ".safetensors" or file.read(4) in (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
    if begins_well:
        return f"is cut off or damaged ({type(error).__name__}): compare its size with that of the original."
    return "holds no weights: expected .safetensors, or what torch.save writes."

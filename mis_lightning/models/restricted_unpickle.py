"""Published checkpoints opened without executing anything in them.

A ``.pth`` file is a pickle, and a pickle may call whatever it names. Here it may name tensors' rebuilders, a
few plain types, and the classes of the published code, for which it gets an empty placeholder; anything else
is refused before it is called.
"""

from __future__ import annotations

import codecs
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch

from mis_lightning.errors import InputError
from mis_lightning.weight_files import what_it_is

PLACEHOLDERS = ("isegm", "mis")
"""Packages of the published code; what a file names inside them becomes a :class:`Placeholder`."""

MOST_BYTES = 16 << 30  # of all tensors; ViT-H is 2.6 GB

_STORAGES = (
    "DoubleStorage",
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
)

_SCALAR: Any = (getattr(np, "_core", None) or np.core).multiarray.scalar

_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("numpy", "dtype"): np.dtype,
    ("argparse", "Namespace"): SimpleNamespace,
    ("_codecs", "encode"): codecs.encode,
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    **{("torch", name): getattr(torch, name) for name in _STORAGES},
}


class Placeholder:
    """Stands for an object of the published code: takes any arguments and any state, and does nothing."""

    def __init__(self, *_args: object, **_options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class Refused(pickle.UnpicklingError):
    """The file names something that no weights need."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in PLACEHOLDERS:
            return Placeholder
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise Refused(f"it asks for {module}.{name}, which no weights need") from None


def _load(file: IO[bytes], **options: Any) -> Any:
    return _Unpickler(file, **options).load()


_MODULE = SimpleNamespace(Unpickler=_Unpickler, load=_load, __name__="restricted", UnpicklingError=Refused)
"""What torch takes for the pickle module: only these two names of it are used in reading."""


def read_published(path: str | Path) -> Any:
    """Read a ``.pth`` file, zipped or of the older format.

    Args:
        path: The file.

    Returns:
        Tensors on the CPU, in the dicts and lists of the file; objects of other classes are placeholders.

    Raises:
        InputError: No such file, it is damaged, larger than weights are, or names what it must not.
    """
    path = Path(path)
    complaint = what_it_is(path)
    if complaint:
        raise InputError(f"Expected a published checkpoint (.pth), but {path} {complaint}")
    _check_size(path)
    try:
        return torch.load(path, map_location="cpu", pickle_module=_MODULE, weights_only=False)
    except Refused as error:
        raise InputError(
            f"{path} is refused: {error}. It may be harmful; nothing in it was executed. Compare its digest "
            "with the one that its authors publish; if they agree, have only its `state_dict` saved."
        ) from error
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error}). Is it cut off?"
        ) from error


def _check_size(path: Path) -> None:
    """Refuse archives that unpack to far more than they are."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    packed = path.stat().st_size
    if unpacked > min(MOST_BYTES, 2 * packed + (1 << 20)):
        raise InputError(
            f"{path} is refused: its {packed} bytes unpack to {unpacked}; checkpoints are not compressed."
        )

"""Files of weights from anywhere: read without running them, or said by what they are."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from mis_lightning.errors import InputError
from mis_lightning.weight_files import read_weights, without_wrappers

WEIGHTS = {"a": torch.arange(3.0)}
RAN: list[str] = []


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return RAN.append, ("ran",)


def zipped(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


def raw(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"args": argparse.Namespace(lr=0.1, layers=[1, 2])},
        {"best": np.float64(0.5), "epoch": np.int64(3), "loss": np.float32(1)},
        {"history": np.arange(4), "mean": np.ones((2, 2), np.float32)},
    ],
)
def test_weights_and_what_scripts_leave_beside_them(
    tmp_path: Path, beside: dict[str, Any], legacy: bool
) -> None:
    content = {"state_dict": WEIGHTS, **beside}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    read = read_weights(tmp_path / "a.pth")
    assert torch.equal(read["state_dict"]["a"], WEIGHTS["a"])
    assert str(read | {"state_dict": 0}) == str(content | {"state_dict": 0})


def test_safetensors(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    assert torch.equal(read_weights(tmp_path / "a.safetensors")["a"], WEIGHTS["a"])


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("a.pth", raw(b""), "is empty"),
        ("a.pth", raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "git lfs pull"),
        ("a.safetensors", raw(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
        ("a.pth", raw(b"\n <!DOCTYPE html><html>"), "web page"),
        ("a.pth", raw(b'{"error": "not found"}'), "JSON"),
        ("a.pth", raw(b"\x1f\x8b\x08\0\0"), "gzip"),
        ("a.pth", raw(b"\x89HDF\r\n"), "Keras"),
        ("a.pth", raw(b"no weights at all" * 9), "holds no weights"),
        ("a.pth", raw(save(WEIGHTS)), "end in .safetensors"),
        ("a.safetensors", zipped(WEIGHTS), "end in .pth"),
        ("a.safetensors", raw(save(WEIGHTS)[:-2]), "cut off"),
        ("a.pth", zipped({"model": WEIGHTS, "x": Harmful()}), "more than weights"),
        ("a.pth", zipped(torch.nn.Linear(2, 2)), "torch.nn.modules.linear.Linear"),
    ],
)  # fmt: skip
def test_what_is_no_weights_is_said_by_what_it_is(
    tmp_path: Path, name: str, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=said) as caught:
        read_weights(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / name))
    assert "\x1b" not in message
    assert "\n" not in message
    assert "weights_only" not in message  # the words of PyTorch's own message
    assert len(message) < 400
    assert RAN == []


def test_half_a_file_a_folder_and_nothing(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: len(data) // 2])
    for path, said in (
        (tmp_path / "a.pth", "cut off"),
        (tmp_path, "is a folder"),
        (tmp_path / "b", "not exist"),
    ):
        with pytest.raises(InputError, match=said):
            read_weights(path)


def test_wrappers() -> None:
    assert without_wrappers({"module.a": 1, "module.b": 2}) == {"a": 1, "b": 2}
    assert without_wrappers({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert without_wrappers({}) == {}

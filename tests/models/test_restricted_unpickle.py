"""Hostile files: refused, and what they ask for is never called."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import zipfile

import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.models.restricted_unpickle import Placeholder, read_published


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile(folder):
    touch = f"touch {folder / 'hacked'}"
    opened = f"open({str(folder / 'hacked')!r}, 'w')"
    return {
        "os.system": Call(os.system, touch),
        "eval": Call(builtins.eval, opened),
        "exec": Call(builtins.exec, opened),
        "getattr chain": _chain(folder),
        "subprocess": Call(subprocess.check_call, ["sh", "-c", touch]),
        "nested in a state dict": {"state_dict": {"a.weight": Call(os.system, touch)}},
        "open": Call(open, str(folder / "hacked"), "w"),
        "torch.load": Call(torch.load, str(folder / "other.pth")),
        "hub": Call(torch.hub.load, "somebody/repo", "model"),
        "import": Call(__import__, "antigravity"),
    }


KINDS = (
    "os.system",
    "eval",
    "exec",
    "getattr chain",
    "subprocess",
    "nested in a state dict",
    "open",
    "torch.load",
    "hub",
    "import",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", ["zip", "old", "bare pickle"])
def test_hostile_files_are_refused_and_nothing_is_executed(tmp_path, kind, container):
    content = hostile(tmp_path)[kind]
    path = tmp_path / "model.pth"
    if container == "bare pickle":
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=2))
    elif isinstance(content, bytes):
        _save_raw(path, content)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(InputError, match=r"model\.pth (is refused|cannot be read)") as caught:
        read_published(path)
    if container != "bare pickle":
        assert "which no weights need" in str(caught.value)
    assert not (tmp_path / "hacked").exists()


def _chain(folder):
    """``getattr(os, "system")(…)`` in opcodes: no object pickles so."""
    word = f"touch {folder / 'hacked'}"
    return f"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR(S'{word}'\ntR.".encode()


def _save_raw(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def test_the_published_code_is_never_imported(tmp_path):
    for module in ("isegm.model.anything", "mis.model.is_model"):
        _save_raw(tmp_path / "x.pth", f"c{module}\nRun\n(S'argument'\ntR.".encode())
        assert isinstance(read_published(tmp_path / "x.pth"), Placeholder)
    for module in ("isegmented", "mission", "mis_lightning.cli"):
        _save_raw(tmp_path / "x.pth", f"c{module}\nmain\n.".encode())
        with pytest.raises(InputError, match="refused"):
            read_published(tmp_path / "x.pth")


@pytest.mark.parametrize("old", [False, True])
def test_tensors_of_all_kinds_come_back(tmp_path, old):
    content = {
        "state_dict": {
            "a": torch.arange(12.0).reshape(3, 4).T,
            "half": torch.ones(3, dtype=torch.float16),
            "count": torch.tensor(7),
            "parameter": torch.nn.Parameter(torch.ones(2)),
        },
        "epoch": 3,
        "names": {"x", "y"},
        "size": torch.Size([1, 2]),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    loaded = read_published(tmp_path / "x.pth")
    assert all(torch.equal(loaded["state_dict"][k], v) for k, v in content["state_dict"].items())
    assert {k: loaded[k] for k in ("epoch", "names", "size")} == {
        k: content[k] for k in ("epoch", "names", "size")
    }


def test_damaged_and_bloated_files(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for name, data in {"cut": whole[:-300], "empty": b"", "text": b"hello", "zeros": bytes(500)}.items():
        (tmp_path / f"{name}.pth").write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}\.pth (cannot be read|is empty)"):
            read_published(tmp_path / f"{name}.pth")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", bytes(50_000_000))
    with pytest.raises(InputError, match="unpack to 50"):
        read_published(tmp_path / "bomb.pth")
    with pytest.raises(InputError, match="does not exist"):
        read_published(tmp_path / "nowhere.pth")


def test_a_tensor_larger_than_its_storage(tmp_path):
    torch.save({"a": torch.zeros(4)}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    entries[name] = entries[name].replace(
        b"K\x04", b"K\x7f"
    )  # every 4, the shape and the storage's size, is 127
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    try:
        loaded = read_published(tmp_path / "x.pth")
    except InputError:
        return
    assert loaded["a"].untyped_storage().nbytes() >= loaded["a"].numel() * 4  # never beyond its memory

"""The bench of a GPU, rehearsed on the CPU at toy sizes: every section that needs no compiler."""

from __future__ import annotations

import json

import pytest
import torch

from mis_lightning.bench import gpu
from mis_lightning.bench.fit_speed import set_tf32
from mis_lightning.errors import InputError

SECTIONS = ["first calls", "training, bf16-mixed", "parts", "same", "evaluation", "extraction"]


@pytest.fixture(autouse=True)
def _settings_of_torch_stay():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    set_tf32(False)
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_it_measures_and_writes(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    options = ["--tiny", "--workers", "0", "--only", *SECTIONS, "--json", str(file)]
    assert gpu.main(options) == 0
    content = json.loads(file.read_text(encoding="utf-8"))
    figures = {
        name: {figure["what"].strip(): figure["value"] for figure in section["figures"]}
        for name, section in content["sections"].items()
    }
    assert all(any(word in name for word in SECTIONS) for name in figures)
    training = figures["training, bf16-mixed"]
    assert training["images a second"] == pytest.approx(4000 / training["a step"])
    network = (
        training["simulated clicks in it"] * training["a pass without gradient"]
        + training["a pass with gradient, and the optimiser"]
    )
    share = training["share of a step outside the network"]
    assert share == pytest.approx(1 - network / training["a step"])
    if not torch.cuda.is_available():  # the same device twice
        assert (
            figures["same on CPU and GPU: sessions of mis-small"]["objects with the same clicks, one by one"]
            == 2
        )
        assert set(figures["same on CPU and GPU: the loss of a step"].values()) == {0.0}
    assert "== extraction" in capsys.readouterr().out


def test_a_failed_section_loses_no_other(tmp_path, capsys):
    file = tmp_path / "gpu.json"

    def fails():
        raise RuntimeError("no memory")

    sections = {"one": fails, "two": lambda: [gpu.Figure("it", 1.0, "s")]}
    assert gpu._run(sections, {}, 1.0, file) == 1
    written = json.loads(file.read_text(encoding="utf-8"))["sections"]
    assert written["one"]["failed"] == "RuntimeError: no memory"
    assert written["two"]["figures"][0]["value"] == 1.0
    assert gpu._run(sections, {}, 1e-9, file) == 1
    assert "minutes had passed" in json.loads(file.read_text(encoding="utf-8"))["sections"]["two"]["not_run"]


def test_bad_options():
    with pytest.raises(InputError, match="--workers"):
        gpu.main(["--tiny", "--workers", "-1"])
    with pytest.raises(InputError, match="Expected --only"):
        gpu.main(["--tiny", "--only", "nothing"])
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--tiny rehearses"):
            gpu.main([])

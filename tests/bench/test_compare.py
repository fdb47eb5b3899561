"""The comparisons that need no data: they run, and report what they measured."""

from __future__ import annotations

import json
import time

import pytest
import torch

from mis_lightning.bench import loss, simulate
from mis_lightning.bench.compare import compare
from mis_lightning.errors import InputError


@pytest.mark.parametrize(("command", "plain"), [(loss, "smoothness, plain"), (simulate, "both, plain")])
def test_command_prints_a_table_and_writes_json(command, plain, tmp_path, capsys):
    threads = torch.get_num_threads()
    file = tmp_path / "figures.json"
    argv = ["--batch", "2", "--size", "64", "--repeats", "1", "--threads", "1", "--json", str(file)]
    assert command.main(argv) == 0
    torch.set_num_threads(threads)
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures["settings"]["batch"] == 2
    assert figures["costs"][plain]["seconds"] > 0
    table = capsys.readouterr().out.splitlines()
    assert "64 px" in table[0]
    (row,) = [line for line in table if line.startswith(plain)]
    assert row.split()[-2] == "1.000"
    assert table[-1].endswith(("reached", "missed"))


def test_costs_are_those_of_the_calls():
    held = []
    ways = {"slow": lambda: time.sleep(0.05), "large": lambda: held.append(torch.ones(40, 1 << 18))}
    costs = compare(ways, 2, torch.device("cpu"))
    assert 0.05 <= costs["slow"].seconds < 5
    assert costs["slow"].peak_mebibytes is None or costs["slow"].peak_mebibytes < 10
    assert costs["large"].peak_mebibytes is None or 35 < costs["large"].peak_mebibytes < 60
    assert len(held) == 4  # warm-up, memory, two timed


@pytest.mark.parametrize("argv", [["--batch", "0"], ["--device", "tpu"], ["--repeats", "-1"]])
def test_options_out_of_range(argv):
    with pytest.raises(InputError, match=argv[0]):
        loss.main(argv)

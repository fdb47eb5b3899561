"""The bench of memory: the watch sees what processes use; it runs the commands it should."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.bench import memory
from mis_lightning.cli import main
from mis_lightning.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")

GREEDY = """
import sys, time, subprocess
held = bytearray(int(sys.argv[1]) << 20)
if len(sys.argv) > 2:
    subprocess.run([sys.executable, __file__, sys.argv[2]], check=True)
time.sleep(0.4)
"""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_watch_tells_a_process_from_those_below_it(tmp_path, monkeypatch):
    script = tmp_path / "greedy.py"
    script.write_text(GREEDY, encoding="utf-8")
    real = memory.subprocess.Popen
    monkeypatch.setattr(
        memory.subprocess, "Popen", lambda words, **more: real([words[0], str(script), *words[3:]], **more)
    )
    own, below = memory.watch(["60", "150"], tmp_path / "output.txt")
    assert 60 < own < 110
    assert 150 < below < 200


def test_both_commands_run_on_n_and_on_4n_images(images, tmp_path, monkeypatch):
    asked = []

    def watched(words, output):
        listed = next(word for word in words if word.startswith("--data.images=")).split("=", 1)[1]
        asked.append((words[0], len(Path(listed).read_text(encoding="utf-8").split())))
        return 100.0 * len(asked), 0.0

    monkeypatch.setattr(memory, "watch", watched)
    config = tmp_path / "config.yaml"
    config.touch()
    options = ["--images", str(images), "--count", "1", "--config", str(config)]
    assert memory.main([*options, "--json", str(tmp_path / "out.json")]) == 0
    assert asked == [("precompute", 1), ("fit", 1), ("precompute", 4), ("fit", 4)]
    figures = {
        f["what"]: f["value"]
        for f in json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["figures"]
    }
    assert figures["mis fit, main process, 4 images"] == 400
    assert figures["mis fit, main process, of that with a quarter of them"] == 2
    assert "mis fit, largest worker, of that with a quarter of them" not in figures  # there was none


def test_what_it_needs(images, tmp_path, capsys):
    few = ["bench", "memory", "--images", str(images), "--count", "1"]
    assert main([*few, "--config", str(tmp_path / "nothing.yaml")]) == 2
    assert "Expected a file or the name of a config" in capsys.readouterr().err
    assert main(["bench", "memory", "--images", str(images), "--count", "2"]) == 2
    assert "Expected at least 8 images" in capsys.readouterr().err


def test_a_command_that_fails_is_shown(tmp_path):
    with pytest.raises(InputError, match="no verb 'nonsense'"):
        memory.watch(["nonsense"], tmp_path / "output.txt")

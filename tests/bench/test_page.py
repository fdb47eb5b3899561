"""The bench of the page runs a server and clicks on it."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from mis_lightning.bench.page import main, own_bytes
from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_state import ClickState


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_it_measures_a_server(tmp_path):
    file = tmp_path / "out.json"
    assert main(["--megapixels", "0.02", "--json", str(file)]) == 0
    figures = {f["what"].strip(): f for f in json.loads(file.read_text(encoding="utf-8"))["figures"]}
    assert len(figures) == 8
    before = figures["mis annotate, 115x173, before the first click"]
    assert 50 < before["value"] <= figures["at most"]["value"] < 2000
    assert before["goal"] == 1024
    assert 0 < figures["an undone click, 115x173"]["value"] < 200


def test_what_states_share_is_not_counted():
    image, answer = torch.zeros(3, 10, 10), torch.zeros(5, 5)
    before = ClickState(image)
    assert own_bytes(ClickState(image, answer=answer, packed=b"123"), before) == 100 + 3


def test_bad_options():
    with pytest.raises(InputError, match="--megapixels in"):
        main(["--megapixels", "0"])

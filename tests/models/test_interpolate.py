"""Weights between two others."""

from __future__ import annotations

import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.models.interpolate import between

START = {"a": torch.tensor([0.0, 2.0]), "n": torch.tensor(1)}
END = {"a": torch.tensor([4.0, 0.0]), "n": torch.tensor(7)}


def test_a_share_of_the_way_for_floats_and_the_end_for_counts():
    found = between(START, END, 0.25)
    assert found["a"].tolist() == [1.0, 1.5]
    assert found["n"].item() == 7
    assert between(START, END, 0.0)["a"].tolist() == [0.0, 2.0]
    assert between(START, END, 1.0)["a"].tolist() == [4.0, 0.0]
    found["n"] += 1
    assert END["n"].item() == 7  # a copy


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range(share):
    with pytest.raises(InputError, match="share of the way"):
        between(START, END, share)


def test_other_networks():
    with pytest.raises(InputError, match="names differ"):
        between(START, {"a": END["a"]}, 0.5)

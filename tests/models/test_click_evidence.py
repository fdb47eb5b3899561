"""The evidence against histograms counted pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mis_lightning.models.click_evidence import KINDS, ClickEvidence


def hard_codes(evidence: ClickEvidence) -> None:
    """One histogram whose code is the channel that is 1, as good as certain."""
    with torch.no_grad():
        evidence.to_codes.weight.copy_(50 * torch.eye(evidence.codes)[:, :, None, None])
        evidence.to_codes.bias.zero_()


def test_ratios_are_those_of_counted_histograms() -> None:
    colours = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 2], [2, 2, 2, 2]])
    features = nn.functional.one_hot(colours, 3).permute(2, 0, 1)[None].float()
    evidence = ClickEvidence(3, histograms=1, codes=3, pseudo_pixels=1.0)
    hard_codes(evidence)
    previous = torch.zeros(1, 1, 3, 4)
    previous[0, 0, :2, 2:] = 1  # colours 1, 1, 1, 2
    disks = torch.zeros(1, 2, 3, 4)
    disks[0, 0, 0, 2] = 1  # colour 1

    read = evidence(features, previous, disks)
    assert read.shape == (1, KINDS, 3, 4)
    everywhere = [4 / 12, 3 / 12, 5 / 12]
    marked = [[0, 3, 1], [4, 0, 4], [0, 1, 0], [0, 0, 0]]  # inside, outside, positive, negative
    for kind, counts in enumerate(marked):
        for row in range(3):
            for col in range(4):
                colour = int(colours[row, col])
                share = (counts[colour] + everywhere[colour]) / (sum(counts) + 1)
                expected = math.log(share + 1e-4) - math.log(everywhere[colour] + 1e-4)
                assert float(read[0, kind, row, col]) == pytest.approx(expected, abs=1e-4)


def test_nothing_marked_is_no_evidence() -> None:
    torch.manual_seed(0)
    evidence = ClickEvidence(5, histograms=2, codes=4)
    empty = torch.zeros(2, 3, 6, 6)
    read = evidence(torch.randn(2, 5, 6, 6), empty[:, :1], empty[:, 1:])
    torch.testing.assert_close(read, torch.zeros(2, 2 * KINDS, 6, 6), atol=1e-6, rtol=0)


def test_samples_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    evidence = ClickEvidence(5)
    features, given = torch.randn(3, 5, 4, 4), torch.rand(3, 3, 4, 4)
    together = evidence(features, given[:, :1], given[:, 1:])
    alone = evidence(features[1:2], given[1:2, :1], given[1:2, 1:])
    torch.testing.assert_close(together[1:2], alone)

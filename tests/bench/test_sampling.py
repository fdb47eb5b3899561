"""The bench of sampling runs, and the plain way it compares with draws the same regions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mis_lightning.bench.merging import smooth_features
from mis_lightning.bench.sampling import main, plain_region
from mis_lightning.errors import InputError
from mis_lightning.merge_tree.sampling import node_mask, sample_node
from mis_lightning.merge_tree.ward import build_merge_tree


@pytest.mark.parametrize("size", [(9, 12), (72, 96)])
def test_the_plain_way_draws_the_same_regions(size):
    tree = build_merge_tree(smooth_features((9, 12), 6), (9, 12))
    ours, plain = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(30):
        np.testing.assert_array_equal(
            node_mask(tree, sample_node(tree, ours), size), plain_region(tree, size, plain)
        )


def test_it_prints_and_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["--side", "6", "--draws", "2", "--rounds", "1", "--json", str(file)]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert len(figures) == len(capsys.readouterr().out.splitlines()) == 7
    assert [figure["goal"] for figure in figures] == [100.0, None, None, None, 1.0, None, None]
    assert all(figure["value"] > 0 for figure in figures)


def test_bad_options():
    with pytest.raises(InputError, match="--draws of at least 1"):
        main(["--draws", "0"])

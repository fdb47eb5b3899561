"""The metric against plain numpy, with duplicates, and over two processes."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from mis_lightning.errors import InputError
from mis_lightning.metrics.noc import NumberOfClicks
from mis_lightning.metrics.summary import summarise


def curves_of(n: int, *, untruncated: bool = False) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    lengths = [20 if untruncated else int(k) for k in rng.integers(1, 21, size=n)]
    return [np.sort(rng.random(k)).astype(np.float32) for k in lengths]


def test_summary_against_plain_numpy() -> None:
    curves = curves_of(40, untruncated=True)
    summary = summarise(curves)
    stacked = np.stack(curves)
    for threshold, name in ((0.8, "80"), (0.85, "85"), (0.9, "90")):
        reached = stacked >= np.float32(threshold)
        clicks = np.where(reached.any(1), reached.argmax(1) + 1, 20)
        assert summary[f"noc@{name}"] == clicks.mean()
        assert summary[f"std@{name}"] == clicks.std()
        assert summary[f"failures@{name}"] == (clicks == 20).sum()
    for k in (1, 5, 10):
        assert summary[f"iou@{k}"] == stacked[:, k - 1].astype(np.float64).mean()
    assert summary["n"] == 40


def test_iou_at_k_is_left_out_where_a_curve_is_shorter() -> None:
    assert "iou@1" in summarise([[0.1] * 6, [0.2] * 5])
    assert "iou@5" in summarise([[0.1] * 6, [0.2] * 5])
    assert "iou@5" not in summarise([[0.1] * 6, [0.2] * 4])


def test_metric_equals_summary_in_any_order_with_duplicates() -> None:
    curves = curves_of(17)
    metric = NumberOfClicks()
    for index in [*reversed(range(17)), 3, 16, 0]:
        metric.update(index, curves[index])
    assert metric.compute() == summarise(curves)
    assert [c.tolist() for c in metric.objects().values()] == [c.tolist() for c in curves]


def test_nan_curves_keep_their_length() -> None:
    metric = NumberOfClicks()
    metric.update(0, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(metric.objects()[0], np.array([0.5, np.nan, np.nan], dtype=np.float32))
    assert metric.compute()["noc@90"] == 20


def test_reset_forgets() -> None:
    metric = NumberOfClicks()
    metric.update(0, [0.95])
    metric.compute()
    metric.reset()
    metric.update(1, [0.1, 0.95])
    assert metric.compute()["noc@90"] == 2


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_objects_give_nan_not_a_crash() -> None:
    summary = NumberOfClicks().compute()
    assert summary["n"] == 0
    assert np.isnan(summary["noc@90"])


def test_other_budget() -> None:
    metric = NumberOfClicks(max_clicks=3, thresholds=(0.5,))
    metric.update(0, [0.1, 0.2, 0.3])
    metric.update(1, [0.1, 0.2, 0.6])
    assert metric.compute() == {
        "n": 2,
        "noc@50": 3,
        "std@50": 0,
        "failures@50": 2,
        "iou@1": pytest.approx(0.1),
    }


@pytest.mark.parametrize("ious", [[], [[0.5]], [0.5] * 21, [1.5], [-0.1]])
def test_update_refuses(ious) -> None:
    with pytest.raises(InputError):
        NumberOfClicks().update(0, ious)


def test_constructor_and_index_refuse() -> None:
    with pytest.raises(InputError, match="max_clicks"):
        NumberOfClicks(max_clicks=0)
    with pytest.raises(InputError, match="thresholds"):
        NumberOfClicks(thresholds=(90,))
    with pytest.raises(InputError, match="index"):
        NumberOfClicks().update(-1, [0.5])


def worker(rank: int, folder: str, shares: list[list[int]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    curves = curves_of(11)
    metric = NumberOfClicks()
    results = []
    for share in (shares[rank], [] if rank else list(range(11))):  # in the second round, rank 1 has nothing
        metric.reset()
        for index in share:
            metric.update(index, curves[index])
        results.append(metric.compute())
        metric.update(0, curves[0])  # the local rows are back after the sync
    torch.save(results, os.path.join(folder, f"{rank}.pt"))
    distributed.destroy_process_group()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_bits_of_one(tmp_path) -> None:
    # As DistributedSampler shares 11 objects: every second one, and object 0 twice.
    shares = [list(range(0, 11, 2)), [*range(1, 11, 2), 0]]
    # Forked, because importing torch anew in each process takes longer than all other tests together.
    multiprocessing.start_processes(worker, (str(tmp_path), shares), nprocs=2, start_method="fork")
    expected = summarise(curves_of(11))
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == [expected, expected]

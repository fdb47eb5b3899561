"""Order of the samples: a function of (seed, epoch) alone."""

from __future__ import annotations

from mis_lightning.data.epoch_sampler import EpochSampler


def passes(length, seed, epochs):
    return [list(EpochSampler(length, seed, lambda epoch=epoch: epoch)) for epoch in epochs]


def test_every_item_comes_once_and_carries_the_epoch():
    for epoch, items in zip((0, 7), passes(50, 3, (0, 7)), strict=True):
        assert sorted(items) == [(epoch, index) for index in range(50)]
        assert all(type(index) is int for _, index in items)


def test_the_order_depends_on_seed_and_epoch_alone():
    first, second = ([index for _, index in items] for items in passes(50, 3, (0, 1)))
    assert first != second
    assert first != sorted(first)
    assert passes(50, 3, (1, 0))[1] == [(0, index) for index in first]
    assert passes(50, 4, (0,))[0] != [(0, index) for index in first]


def test_the_epoch_is_asked_at_the_start_of_each_pass():
    asked = iter([4, 5])
    sampler = EpochSampler(3, 0, lambda: next(asked))
    assert {epoch for epoch, _ in sampler} == {4}
    assert {epoch for epoch, _ in sampler} == {5}


def test_length():
    assert len(EpochSampler(12, 0, lambda: 0)) == 12
    assert list(EpochSampler(0, 0, lambda: 0)) == []

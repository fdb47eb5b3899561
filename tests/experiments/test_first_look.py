"""The fit of the first look: a cue that tells gets the weight; `wide` keeps the photographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.look_cues import CUES

FOLDER = Path(__file__).parents[2] / "experiments" / "first_look"


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("clicks", "fit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import fit

    return fit


def made_up(fit: Any, telling: str, seed: int = 0) -> Any:
    """60 clicks of four looks on 30 images, whose IoU one cue tells; the fourth look is often missing."""
    generator = np.random.default_rng(seed)
    cues = generator.normal(size=(60, 4, len(CUES))).astype(np.float32)
    ious = 1 / (1 + np.exp(-2 * cues[:, :, CUES.index(telling)]))
    sides = np.tile(np.float32([800, 400, 200, 100]), (60, 1))
    missing = generator.random(60) < 0.5
    for values in (cues, ious, sides):
        values[missing, 3] = np.nan
    return fit.Looks(cues, ious, sides, 0.1 * sides, np.full(60, 50), np.arange(60) // 2)


def test_the_telling_cue_gets_the_weight(fit: Any) -> None:
    cues, bias = fit.fit(made_up(fit, "node"), CUES)
    others = [abs(weight.factor) for name, weight in cues.items() if name != "node"]
    assert cues["node"].factor > 5 * max(others)
    looks = made_up(fit, "node", seed=1)
    chosen = fit.chosen_ious(FirstLook(cues, bias=bias), looks)
    assert chosen.mean() > np.nanmax(looks.ious, axis=1).mean() - 0.01


def test_wide_is_the_best_for_domains_that_keeps_photographs(fit: Any) -> None:
    """Photographs: only the whole image is right. Domains: only the closest window is."""
    sets = {name: made_up(fit, "node", seed) for seed, name in enumerate((*fit.PHOTOGRAPHS, *fit.DOMAINS))}
    for name, looks in sets.items():
        looks.cues[...] = np.where(np.isfinite(looks.sides)[..., None], 0.5, np.nan)
        closest = np.isfinite(looks.sides).sum(axis=1) - 1
        right = np.zeros(60, int) if name in fit.PHOTOGRAPHS else closest
        looks.ious[...] = np.arange(4) == right[:, None]
        looks.cues[np.arange(60), closest, CUES.index("node")] = 1.5  # the closest looks better by 1
    look = FirstLook({"node": fit.Weight(0, 1, 1)})
    chosen = fit.choose_wide(look, sets, sets)
    assert fit.chosen_ious(chosen, sets["GrabCut"]).mean() == 1
    with pytest.raises(SystemExit, match="No preference"):
        fit.choose_wide(FirstLook({"node": fit.Weight(0, 1, 9)}), sets, sets)


def test_the_interval_holds_the_mean(fit: Any) -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 200)
    low, high = fit.interval(values, np.arange(200) // 4)
    assert low < values.mean() < high
    assert fit.interval(np.full(8, 0.25), np.arange(8)) == (0.25, 0.25)


def test_regions_to_click_on_are_drawn_again_alike(fit: Any, tmp_path: Path) -> None:
    from clicks import LEAST_PIXELS, unlabelled
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(image).resize((160, 120)).save(path)
    first, second = (list(unlabelled([path], 6, seed=3)) for _ in range(2))
    assert len(first) >= 3
    for (number, sample, click), (_, again, click_again) in zip(first, second, strict=True):
        assert number == 0
        assert sample.mask[int(click.row), int(click.col)]
        assert sample.mask.sum() >= LEAST_PIXELS
        assert click == click_again
        assert (sample.mask == again.mask).all()

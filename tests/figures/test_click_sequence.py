"""Click sequences: panels read back from the figure, recorded sessions against simulated ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_session
from mis_lightning.figures.click_sequence import Step, click_sequence, simulated_steps
from mis_lightning.figures.outlines import border_lines
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Click, Sample

SHAPE = (20, 30)


def squares(image, prompt):
    """A click model: squares of 7 x 7 pixels around positive clicks, 3 x 3 holes around negative ones."""
    logits = torch.full_like(prompt.previous_mask, -4.0)
    half = prompt.points.shape[1] // 2
    for one, clicks in zip(logits, prompt.points, strict=True):
        for k, (row, col, order) in enumerate(clicks.tolist()):
            if order >= 0:
                reach, value = (3, 4.0) if k < half else (1, -4.0)
                r, c = round(row), round(col)
                one[0, max(r - reach, 0) : r + reach + 1, max(c - reach, 0) : c + reach + 1] = value
    return logits


@pytest.fixture
def sample():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:9, 5:16] = True
    image = np.random.default_rng(0).integers(256, size=(*SHAPE, 3)).astype(np.uint8)
    return Sample(image, mask, None, "bar")


@pytest.fixture
def steps(sample):
    segmenter = ClickModelSegmenter(squares, PredictionSettings(size=SHAPE, zoom_in=None, flip=False))
    return simulated_steps(segmenter, sample, EvaluationSettings(max_clicks=5, target_iou=None))


@pytest.mark.parametrize("flip", [False, True])
def test_a_recorded_session_is_the_simulated_one(sample, flip) -> None:
    def lopsided(image, prompt):  # the mirrored input gets another answer
        return squares(image, prompt) + torch.linspace(-8, 8, image.shape[-1])

    segmenter = ClickModelSegmenter(lopsided, PredictionSettings(size=SHAPE, flip=flip))
    settings = EvaluationSettings(max_clicks=6, target_iou=0.8)
    session = simulate_session(segmenter, sample, settings)
    steps = simulated_steps(segmenter, sample, settings)
    assert len(steps) == len(session.clicks)
    assert tuple(steps[-1].clicks) == session.clicks
    assert [step.iou for step in steps] == [float(value) for value in session.ious]
    for count, step in enumerate(steps, start=1):
        assert len(step.clicks) == count
        found = step.probability > 0.5
        truth = (found & sample.mask).sum() / (found | sample.mask).sum()
        assert step.iou == pytest.approx(truth, abs=1e-6)


def test_panels_titles_and_the_true_outline(sample, steps) -> None:
    figure = click_sequence(sample.image, sample.mask, steps)
    assert [ax.get_title() for ax in figure.axes] == [
        "image and object",
        *(f"click {number}: IoU {step.iou:.3f}" for number, step in enumerate(steps, start=1)),
    ]
    for ax in figure.axes:
        outline = np.array(ax.collections[-1].get_segments())
        np.testing.assert_array_equal(outline, border_lines(sample.mask))


def test_clicks_lie_where_they_were_made_and_kinds_differ_in_shape(sample) -> None:
    clicks = (Click(6, 20, True), Click(3.5, 11, False), Click(17, 2, True))
    steps = [Step(clicks[:n], sample.mask, 1.0) for n in (1, 2, 3)]
    figure = click_sequence(sample.image, sample.mask, steps)
    for n, ax in zip((1, 2, 3), figure.axes[1:], strict=True):
        drawn = [(line.get_ydata()[0], line.get_xdata()[0], line.get_marker()) for line in ax.lines]
        assert drawn == [(click.row, click.col, "o" if click.positive else "X") for click in clicks[:n]]
        sizes = [line.get_markersize() for line in ax.lines]
        assert all(size < sizes[-1] for size in sizes[:-1])
        assert all(line.get_markeredgecolor() == "white" for line in ax.lines)
    # The last panel as it is drawn: a mark at (17, 2) in the axes' own coordinates is inside the picture.
    ax = figure.axes[3]
    x, y = ax.transAxes.inverted().transform(ax.transData.transform((2, 17)))
    assert (x, y) == (pytest.approx(2.5 / 30), pytest.approx(1 - 17.5 / 20))


def test_the_mask_is_tinted_where_the_probability_is_above_the_threshold(sample) -> None:
    probability = np.full(SHAPE, 0.4, dtype=np.float32)
    probability[:, :10] = 0.6
    steps = [Step((Click(1, 1, True),), probability, 0.5)]
    for threshold, inside in ((0.5, probability > 0.5), (0.3, probability > 0.3)):
        ax = click_sequence(sample.image, sample.mask, steps, threshold=threshold).axes[1]
        shown = np.asarray(ax.images[0].get_array())
        blueness = (
            shown[..., 2] - shown[..., 0] - (sample.image[..., 2] / 255 - sample.image[..., 0] / 255) / 2
        )
        assert blueness[inside].min() > 0.2
        if not inside.all():
            assert blueness[~inside].max() < 0.2


def test_a_bool_mask_is_as_good_as_a_probability(sample) -> None:
    step = Step((Click(6, 10, True),), sample.mask, 1.0)
    as_float = step._replace(probability=sample.mask.astype(np.float32))
    pictures = [
        np.asarray(click_sequence(sample.image, sample.mask, [s]).axes[1].images[0].get_array())
        for s in (step, as_float)
    ]
    np.testing.assert_array_equal(*pictures)


def test_only_the_clicks_asked_for_get_a_panel(sample, steps) -> None:
    figure = click_sequence(sample.image, sample.mask, steps, shown=(1, 4))
    assert [ax.get_title().split(":")[0] for ax in figure.axes[1:]] == ["click 1", "click 4"]
    assert len(figure.axes[2].lines) == 4


def test_the_legend_names_the_kinds_that_occur(sample) -> None:
    one = [Step((Click(6, 10, True),), sample.mask, 1.0)]
    both = [Step((Click(6, 10, True), Click(1, 1, False)), sample.mask, 1.0)]
    for steps, expected in ((one, False), (both, True)):
        (legend,) = click_sequence(sample.image, sample.mask, steps).legends
        assert ("negative click" in [text.get_text() for text in legend.get_texts()]) is expected


def test_what_does_not_fit_is_named(sample, steps) -> None:
    with pytest.raises(InputError, match=r"1\.\.5, but got \[6\]"):
        click_sequence(sample.image, sample.mask, steps, shown=(6,))
    with pytest.raises(InputError, match="`mask` of shape"):
        click_sequence(sample.image, sample.mask.T, steps)
    with pytest.raises(InputError, match="`probability 1` of shape"):
        click_sequence(sample.image, sample.mask, [Step((), sample.mask[:5], 0.0)])

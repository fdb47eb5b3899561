"""What exactly the model is asked: points, flip, previous mask, batches, evaluation mode.

Rule: docs/protocol.md#one-answer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mis_lightning.errors import InputError
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.segmenters.asked_model import evaluation_mode, input_size
from mis_lightning.segmenters.click_model import ClickModelSegmenter, ClickState, PredictionSettings
from mis_lightning.segmenters.zoom_in import ROI, ZoomIn
from mis_lightning.structures import Click, Prompt


class Recorder:
    """Keeps what it was asked and answers with a ramp along the columns."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, image: Tensor, prompt: Prompt) -> Tensor:
        self.calls.append((image.clone(), prompt.previous_mask.clone(), prompt.points.clone()))
        ramp = torch.linspace(-2, 4, image.shape[-1])
        return ramp.expand(len(image), 1, *image.shape[-2:]).clone()


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def start(image: np.ndarray) -> ClickState:
    return ClickModelSegmenter(Recorder()).begin(image)


def advance(model, states: list[ClickState], settings: PredictionSettings) -> list[ClickState]:
    """Answer the last click of each state."""
    before = [replace(state, clicks=state.clicks[:-1]) for state in states]
    return ClickModelSegmenter(model, settings).click(before, [state.clicks[-1:] for state in states])


def asked(shape=(20, 30), *clicks: Click) -> ClickState:
    return ClickState(start(picture(shape)).image, clicks)


def test_start_is_channels_first_bytes_on_its_own_memory() -> None:
    image = picture((4, 5))
    state = start(image)
    np.testing.assert_array_equal(state.image.numpy(), image.transpose(2, 0, 1))
    assert state.image.dtype == torch.uint8
    assert state.image.is_contiguous()
    assert state.shape == (4, 5)
    image[:] = 0
    assert state.image.any()


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8), np.zeros((4, 5, 3), np.float32)]
)
def test_start_refuses(bad) -> None:
    with pytest.raises(InputError, match="RGB image"):
        start(bad)


def test_first_question() -> None:
    model = Recorder()
    state = asked((20, 30), Click(5, 3, True), Click(10, 15, False))
    (answered,) = advance(model, [state], PredictionSettings(size=(40, 30)))
    ((image, previous, points),) = model.calls
    assert image.shape == (2, 3, 40, 30)
    assert image.dtype == torch.float32
    torch.testing.assert_close(image[1], image[0].flip(-1), rtol=0, atol=0)
    assert not previous.any()
    assert previous.shape == (2, 1, 40, 30)
    assert points[0].tolist() == [[10, 3, 0], [20, 15, 1]]
    assert points[1].tolist() == [[10, 30 - 3 - 1, 0], [20, 30 - 15 - 1, 1]]
    assert answered.roi == ROI(0, 19, 0, 29)
    assert answered.clicks == state.clicks


def test_points_have_the_type_of_training_unless_the_model_says_otherwise() -> None:
    """A network of one's own may multiply them with its weights."""
    linear = nn.Linear(3, 1)

    def multiplies(image: Tensor, prompt: Prompt) -> Tensor:
        return linear(prompt.points).sum() + torch.zeros(len(image), 1, *image.shape[-2:])

    advance(multiplies, [asked((20, 30), Click(5, 3, True))], PredictionSettings(size=(20, 30)))
    exact = Recorder()
    exact.exact_points = True
    advance(exact, [asked((20, 30), Click(5, 3, True))], PredictionSettings(size=(20, 30)))
    assert exact.calls[0][2].dtype == torch.float64
    assert HybridClickViT.exact_points
    assert ClickViT.exact_points


def test_padding_rows_are_not_mirrored() -> None:
    model = Recorder()
    advance(model, [asked((20, 30), Click(5, 3, True))], PredictionSettings(size=(20, 30)))
    assert model.calls[0][2][:, 1].tolist() == [[-1, -1, -1], [-1, -1, -1]]


def test_flip_averages_logits_not_probabilities() -> None:
    state = asked((20, 30), Click(5, 3, True))
    (answered,) = advance(Recorder(), [state], PredictionSettings(size=(20, 30)))
    ramp = torch.linspace(-2, 4, 30)
    expected = torch.sigmoid((ramp + ramp.flip(0)) / 2)  # 1 everywhere before the sigmoid
    torch.testing.assert_close(answered.probability, expected.expand(20, 30))
    (straight,) = advance(Recorder(), [state], PredictionSettings(size=(20, 30), flip=False))
    torch.testing.assert_close(straight.probability, torch.sigmoid(ramp).expand(20, 30))


def test_the_answer_is_the_previous_mask_of_the_next_question() -> None:
    model = Recorder()
    settings = PredictionSettings(size=(20, 30), zoom_in=None, flip=False)
    (state,) = advance(model, [asked((20, 30), Click(5, 3, True))], settings)
    (state,) = advance(
        model, [ClickState(state.image, (*state.clicks, Click(6, 4, False)), state.probability)], settings
    )
    first = torch.sigmoid(torch.linspace(-2, 4, 30)).expand(20, 30)
    torch.testing.assert_close(model.calls[1][1][0, 0], first)


def test_zoom_crops_at_the_second_click() -> None:
    class Corner(Recorder):
        def __call__(self, image, prompt):
            super().__call__(image, prompt)
            logits = torch.full_like(prompt.previous_mask, -9.0)
            logits[..., : image.shape[-2] // 10, : image.shape[-1] // 10] = 9.0
            return logits

    model = Corner()
    settings = PredictionSettings(size=(100, 100), flip=False)
    (state,) = advance(model, [asked((500, 400), Click(2, 3, True))], settings)
    assert state.roi == ROI(0, 499, 0, 399)
    (state,) = advance(
        model,
        [ClickState(state.image, (*state.clicks, Click(100, 50, False)), state.probability, state.roi)],
        settings,
    )
    # The corner is 50 x 40 pixels: the least size of 200 about its centre, clamped.
    bounds = (state.probability[:, 0] > 0).sum().item(), (state.probability[0] > 0).sum().item()
    assert state.roi.row_min == state.roi.col_min == 0
    assert 120 <= state.roi.row_max <= 130
    assert 115 <= state.roi.col_max <= 125
    assert bounds == (state.roi.height, state.roi.width)
    assert (state.probability[state.roi.height :] == 0).all()
    row, col, _ = model.calls[1][2][0, 1].tolist()
    assert row == pytest.approx(100 * 100 / state.roi.height)
    assert col == pytest.approx(100 * 50 / state.roi.width)


def test_without_zoom_the_whole_image_is_asked_each_time() -> None:
    state = ClickState(start(picture((500, 400))).image, (Click(2, 3, True),), torch.zeros(500, 400))
    state.probability[:10, :10] = 1
    (answered,) = advance(Recorder(), [state], PredictionSettings(size=(40, 30), zoom_in=None))
    assert answered.roi == ROI(0, 499, 0, 399)


def test_a_batch_of_different_sizes_equals_one_by_one() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 1, 3, padding=1)

    def model(image: Tensor, prompt: Prompt) -> Tensor:
        valid = prompt.points[..., 2] >= 0
        return (
            convolution(torch.cat([image, prompt.previous_mask], 1))
            + (prompt.points.sum(-1) * valid).sum(1)[:, None, None, None]
        )

    states = []
    for seed, shape in enumerate([(40, 50), (300, 260), (33, 20)]):
        clicks = tuple(Click(3 + seed, 4, k != seed) for k in range(seed + 1))
        probability = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) if seed else None
        states.append(ClickState(start(picture(shape, seed)).image, clicks, probability))
    settings = PredictionSettings(size=(32, 48), zoom_in=ZoomIn(min_size=20))
    together = advance(model, states, settings)
    for state, one in zip(together, states, strict=True):
        (alone,) = advance(model, [one], settings)
        assert alone.roi == state.roi
        torch.testing.assert_close(alone.probability, state.probability, rtol=0, atol=1e-6)
    assert advance(model, [], settings) == []


def test_states_are_never_changed_in_place() -> None:
    probability = torch.rand(20, 30)
    state = ClickState(start(picture((20, 30))).image, (Click(5, 3, True),), probability)
    before = state.image.clone(), probability.clone()
    (answered,) = advance(Recorder(), [state], PredictionSettings(size=(20, 30)))
    assert answered is not state
    assert torch.equal(state.image, before[0])
    assert torch.equal(probability, before[1])


def test_modules_run_in_evaluation_mode_and_return_to_what_they_were() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.live, self.frozen = nn.Dropout(), nn.Dropout().eval()
            self.seen: list[bool] = []

        def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
            self.seen += [self.training, self.live.training, torch.is_grad_enabled()]
            return prompt.previous_mask

    model = Model()
    model.frozen.eval()
    advance(model, [asked((20, 30), Click(5, 3, True))], PredictionSettings(size=(20, 30)))
    assert model.seen == [False, False, False]
    assert (model.training, model.live.training, model.frozen.training) == (True, True, False)

    def interrupted() -> None:
        with evaluation_mode(model):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model.training


def test_input_size_comes_from_the_caller_the_model_or_the_default() -> None:
    model = nn.Identity()
    assert input_size(model) == (448, 448)
    model.input_size = (224, 256)
    assert input_size(model) == (224, 256)
    assert input_size(model, (64, 32)) == (64, 32)
    with pytest.raises(InputError, match="input size"):
        input_size(model, (0, 32))


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="logits of shape"):
        advance(
            lambda image, prompt: prompt.previous_mask[:, 0],
            [asked((20, 30), Click(5, 3, True))],
            PredictionSettings(),
        )


def test_threshold_is_checked() -> None:
    with pytest.raises(InputError, match="threshold"):
        PredictionSettings(threshold=1.5)


def test_the_view_is_reused_only_where_it_is_the_same() -> None:
    """A state that remembers its view gives, bit by bit, what one that forgot it gives."""
    generator = torch.Generator().manual_seed(0)

    class Wave(Recorder):
        def __call__(self, image, prompt):
            super().__call__(image, prompt)
            coarse = torch.randn(1, 1, 6, 6, generator=generator) - 1.5
            return torch.nn.functional.interpolate(coarse, image.shape[-2:]).expand(len(image), -1, -1, -1)

    settings = PredictionSettings(size=(30, 40), zoom_in=ZoomIn(min_size=20))
    state = start(picture((90, 120)))
    kept = 0
    for number in range(12):
        state = replace(state, clicks=(*state.clicks, Click(7 * number, 9 * number, number % 4 == 0)))
        random = generator.get_state()
        remembering, forgetting = Wave(), Wave()
        (answered,) = advance(remembering, [state], settings)
        generator.set_state(random)
        (expected,) = advance(forgetting, [replace(state, view=None)], settings)
        for one, other in zip(remembering.calls[0], forgetting.calls[0], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert torch.equal(answered.probability, expected.probability)
        kept += answered.view is state.view
        state = answered
    assert 0 < kept < 11  # the crop was kept at times and changed at others
    (larger,) = advance(Recorder(), [state], replace(settings, size=(60, 80)))
    assert larger.view.shape == (3, 60, 80)

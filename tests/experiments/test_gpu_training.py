"""The training for GPUs, on the CPU: tables of regions, views, clicks, gradients, a few steps."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import distance_transform_edt

from mis_lightning.clicks.corrective import choose_click
from mis_lightning.clicks.encoding import encode_points, pack_points
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.structures import Click

IMAGES = 2


@pytest.fixture(scope="module")
def modules() -> Any:
    """The modules of the folder, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "experiments")
        names = ("tables", "scenes", "clicks", "shapes", "settings", "loop", "losses")
        yield type("Modules", (), {n: importlib.import_module(f"gpu_training.{n}") for n in names})


def photograph(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Some coloured disks and a little noise, uint8 ``(H, W, 3)``."""
    image = np.full((height, width, 3), (90, 120, 60), np.uint8)
    for _ in range(6):
        centre = (int(generator.integers(width)), int(generator.integers(height)))
        colour = tuple(int(v) for v in generator.integers(0, 255, 3))
        cv2.circle(image, centre, int(generator.integers(8, 24)), colour, -1)
    noise = generator.normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tables(modules: Any) -> Any:
    tables = modules.tables.Tables.empty(IMAGES)
    for number, (height, width) in enumerate(((96, 128), (112, 80))):
        image = photograph(np.random.default_rng(number), height, width)
        salient = np.zeros((1, 24, 32), np.uint8)
        salient[0, 6:18, 8:24] = 255
        tables.fill(number, image, salient, upright=number == 0)
    return tables


@pytest.fixture(scope="module")
def gpu(modules: Any, tables: Any) -> Any:
    return modules.scenes.GpuTables(tables, torch.device("cpu"))


def test_tables_in_a_folder_are_taken_over(modules: Any, tables: Any, tmp_path: Path) -> None:
    first = modules.tables.Tables.empty(IMAGES, tmp_path)
    assert not first.sizes.any()
    for name in ("images", "sizes", "places", "slices"):
        getattr(first, name)[:] = getattr(tables, name)
    again = modules.tables.Tables.empty(IMAGES, tmp_path)
    for name in ("images", "sizes", "places", "slices"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tables, name))
    assert not modules.tables.Tables.empty(IMAGES + 1, tmp_path).sizes.any()  # of other images


def test_a_node_is_a_slice_of_the_places(modules: Any, tables: Any) -> None:
    image = tables.images[0, :96, :128]
    tree = next(modules.tables.build_trees(image))
    for node in (5, tree.n_leaves + 40, tree.n_nodes - 3):
        first, last = tree.span(node)
        places = tables.places[0, 0, :96, :128]
        np.testing.assert_array_equal((places >= first) & (places < last), tree.mask(node))


def test_regions_are_what_the_law_says(modules: Any, tables: Any) -> None:
    for tree in range(modules.tables.TREES):
        places = tables.places[0, tree, :96, :128]
        for slot in range(modules.tables.REGIONS):
            parts = tables.slices[0, tree, slot]
            mask = np.any([(places >= a) & (places < b) for a, b in parts], axis=0)
            assert mask.any()
            rows, cols = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            top, bottom, left, right = tables.boxes[0, tree, slot]
            # a leaf may be two pixels wide
            assert abs(rows[0] - top) < 2
            assert abs(rows[-1] + 1 - bottom) < 2
            assert abs(cols[0] - left) < 2
            assert abs(cols[-1] + 1 - right) < 2
            if tables.kinds[0, tree, slot] == 1:
                assert 0.0008 < mask.mean() <= 0.62
                assert cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2


def test_the_segments_of_a_cut_are_slices(modules: Any, tables: Any) -> None:
    tree = next(modules.tables.build_trees(tables.images[0, :96, :128]))
    starts, lengths, labels = modules.tables.cut_slices(tree, 17)
    for label in range(17):
        places = tree.places.reshape(tree.grid)
        inside = (places >= starts[label]) & (places < starts[label] + lengths[label])
        np.testing.assert_array_equal(inside, labels == label)


def test_a_straight_view_shows_the_mask(modules: Any, tables: Any, gpu: Any) -> None:
    sampler = modules.scenes.SceneSampler(gpu, modules.scenes.SceneSettings(size=16), 0)
    row = torch.arange(96.0)[None, :, None].expand(1, 96, 96)
    view = modules.scenes._View(torch.tensor([0]), row, row.transpose(1, 2))
    tree, region = torch.tensor([1]), torch.tensor([3])
    inside = sampler._inside(sampler._places(view, tree), tree, region)[0].numpy()
    places = tables.places[0, 1, :96, :96]
    expected = np.any([(places >= a) & (places < b) for a, b in tables.slices[0, 1, 3]], axis=0)
    np.testing.assert_array_equal(inside, expected)


def test_views_show_their_region(modules: Any, gpu: Any) -> None:
    settings = modules.scenes.SceneSettings(size=64, min_side=24.0)
    scene = modules.scenes.SceneSampler(gpu, settings, 3).draw(40)
    assert scene.image.shape == (40, 3, 64, 64)
    assert scene.mask.shape == (40, 1, 64, 64)
    assert scene.image.min() >= 0
    assert scene.image.max() <= 1
    area = scene.mask.flatten(1).float().mean(1)
    assert (area > 0).float().mean() > 0.9
    assert (area < 0.9).float().mean() > 0.9
    assert len(scene.segments) == 40 - 8 - 6
    assert scene.segments.min() >= 0
    assert scene.segments.max() < modules.tables.CUT


def test_a_seed_fixes_the_scenes(modules: Any, gpu: Any) -> None:
    settings = modules.scenes.SceneSettings(size=32)
    one, same, other = (modules.scenes.SceneSampler(gpu, settings, s).draw(8) for s in (1, 1, 2))
    assert torch.equal(one.image, same.image)
    assert torch.equal(one.mask, same.mask)
    assert not torch.equal(one.image, other.image)


def test_drawn_shapes_have_exact_borders(modules: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    plain = torch.full((24, 3, 80, 80), 0.5)
    image, mask = modules.shapes.draw_shapes(plain, plain, generator)
    assert image.shape == plain.shape
    assert mask.shape == (24, 1, 80, 80)
    assert mask.dtype == torch.bool
    assert mask.flatten(1).any(1).all()
    inside = torch.stack([i[:, m[0]].mean() for i, m in zip(image, mask, strict=True)])
    outside = torch.stack([i[:, ~m[0]].mean() for i, m in zip(image, mask, strict=True)])
    assert (inside - outside).abs().median() > 0.03


def test_depth_is_the_distance_to_the_outside(modules: Any) -> None:
    generator = np.random.default_rng(0)
    regions = generator.random((6, 40, 40)) < np.array([0.05, 0.5, 0.9, 0.99, 1.0, 0.0])[:, None, None]
    square = modules.clicks.squared_depth(torch.from_numpy(regions)).numpy()
    for region, got in zip(regions, square, strict=True):
        expected = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1] ** 2
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_whole_view_is_not_too_deep(modules: Any) -> None:
    square = modules.clicks.squared_depth(torch.ones(1, 160, 160, dtype=torch.bool))
    assert square.max() == 80**2


def test_clicks_follow_the_law_of_the_other_road(modules: Any) -> None:
    generator = np.random.default_rng(1)
    mask = np.zeros((30, 1, 48, 48), np.bool_)
    probability = np.zeros((30, 1, 48, 48), np.float32)
    for one, other in zip(mask, probability, strict=True):
        for target in (one[0].view(np.uint8), other[0]):
            corner = generator.integers(4, 20, 4)
            target[corner[0] : corner[0] + corner[2], corner[1] : corner[1] + corner[3]] = 1
    probability[0] = mask[0]  # nothing to correct
    uniform = torch.rand(30, 48 * 48, generator=torch.Generator().manual_seed(0))
    clicks = modules.clicks.corrective_clicks(torch.from_numpy(probability), torch.from_numpy(mask), uniform)
    assert not clicks.made[0]
    assert clicks.made[1:].all()
    agree = 0
    for index in range(1, 30):
        missed = mask[index, 0] & (probability[index, 0] < 0.49)
        wrong = ~mask[index, 0] & (probability[index, 0] > 0.49)
        expected = choose_click(missed, wrong, 0.5)
        assert expected is not None
        agree += bool(clicks.positive[index]) == expected[2]
        error = missed if clicks.positive[index] else wrong
        depth = distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        both = max(depth.max(), distance_transform_edt(np.pad(missed, 1)).max())
        assert depth[clicks.row[index], clicks.col[index]] > both / 2
    assert agree >= 28  # OpenCV's depths are approximate


def test_disks_are_those_of_the_points(modules: Any) -> None:
    clicks = [Click(5, 7, True), Click(0, 31, False), Click(30, 2, True)]
    made = torch.tensor([True, True, False])
    row, col = torch.tensor([c.row for c in clicks]), torch.tensor([c.col for c in clicks])
    given = modules.clicks.Clicks(row, col, torch.tensor([c.positive for c in clicks]), made)
    got = modules.clicks.add_disks(torch.zeros(3, 2, 32, 32), given, 3.0)
    expected = encode_points(pack_points([[clicks[0]], [clicks[1]], []]), (32, 32), 3.0)
    assert torch.equal(got, expected)


def test_first_clicks_lie_where_they_should(modules: Any) -> None:
    mask = torch.zeros(200, 1, 32, 32, dtype=torch.bool)
    mask[:, :, 10:20, 10:24] = True
    generator = torch.Generator().manual_seed(0)
    disks = modules.clicks.first_disks(mask, 0.0, 0.5, 4, 0.6, generator)
    assert not (disks[:, :1].bool() & ~mask).any()
    assert not (disks[:, 1:].bool() & mask).any()
    positive = disks[:, 0].flatten(1).sum(1)
    assert 0.35 < (positive == 0).float().mean() < 0.65
    started = disks[positive > 0, 1].flatten(1).sum(1)
    assert 0.2 < (started == 0).float().mean() < 0.6  # one minus gamma


def test_a_grown_model_answers_as_before(modules: Any) -> None:
    old, new = load_pretrained("mis-small-1"), modules.loop.grown("mis-small-1", 5, 160).eval()
    generator = torch.Generator().manual_seed(0)
    image, previous = (torch.rand(2, c, 64, 64, generator=generator) for c in (3, 1))
    disks = torch.zeros(2, 2, 64, 64)
    disks[:, 0, 20:25, 20:25] = 1
    with torch.inference_mode():
        expected = old.answer(old.look(image), previous, disks)
        for given in (None, torch.tensor([0.3, torch.nan])):
            torch.testing.assert_close(new.answer(new.look(image), previous, disks, given), expected)


def test_doubling_is_bilinear(modules: Any) -> None:
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(modules.loop.doubled(x), expected)


@pytest.fixture
def training(modules: Any, tables: Any, tmp_path: Path) -> Any:
    settings = modules.settings.Settings(depth=5, batch=5, rounds=2)
    scenes = {"size": 32, "min_side": 24.0}
    training = modules.loop.Training(settings, scenes, tmp_path, False, lambda *words: None)
    training.load(tables)
    return training


def test_backward_passes_add_up_to_one(training: Any) -> None:
    """The image's part shared and a backward pass for each answer: the gradient of the mean of all losses."""
    scene, settings, answered = training.sampler.draw(5), training.settings, []
    answer, loss = training.answer, training.loss

    def keep(held: Any, *prompt: Any) -> torch.Tensor:
        answered.append(prompt)
        return answer(held, *prompt)

    training.answer = keep
    training._learn(scene.image, scene.mask, scene.segments, scene.counts)
    got = [parameter.grad.clone() for parameter in training.parameters if parameter.grad is not None]
    training.optimizer.zero_grad()
    image = scene.image.contiguous(memory_format=torch.channels_last)
    with training.autocast():
        logits = [answer(training.model.look(image), *prompt) for prompt in answered]
    losses = [loss(one, scene.mask, scene.counts, settings.overlap_weight)[0] for one in logits]
    torch.stack(losses).mean().backward()
    expected = [parameter.grad for parameter in training.parameters if parameter.grad is not None]
    assert len(answered) == settings.rounds + 1
    assert len(got) == len(expected) > 50
    for one, other in zip(got, expected, strict=True):  # bfloat16
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.03 * float(other.abs().max()) + 1e-6)


def test_a_step_learns_and_weights_are_saved(training: Any, modules: Any, tmp_path: Path) -> None:
    before = [parameter.detach().clone() for parameter in training.parameters]
    for progress in (0.0, 0.5):
        training.step(progress)
    changed = [not torch.equal(a, b) for a, b in zip(before, training.parameters, strict=True)]
    assert sum(changed) > 0.9 * len(changed)
    training.report()
    training.save()
    state = load_file(tmp_path / "latest.safetensors")
    assert state.keys() == dict(training.model.named_parameters()).keys()
    again = modules.loop.Training(training.settings, {"size": 32}, tmp_path, True, lambda *words: None)
    assert all(torch.equal(value, state[name]) for name, value in again.model.named_parameters())


def test_a_model_folder_is_what_the_next_stage_starts_from(
    training: Any, modules: Any, tmp_path: Path
) -> None:
    training.step(0.5)
    training.save()
    folder = tmp_path / "model"
    weights = load_file(folder / "model.safetensors")
    names = [name for name, _ in training.model.named_parameters()]
    for name, value in zip(names, training.average, strict=True):
        torch.testing.assert_close(weights[name].float(), value.detach(), rtol=1e-3, atol=1e-6)
    larger = modules.loop.grown(str(folder), 6, 48)
    assert larger.input_size == (48, 48)
    assert len(larger.blocks) == 6
    assert larger.recommended == load_pretrained("mis-small").recommended
    assert next(larger.parameters()).dtype == torch.float32


def test_the_gradient_is_compared_with_that_of_the_cpu(training: Any, monkeypatch: Any) -> None:
    assert training.check_gradients() < 0.2  # bfloat16
    blocks = training.model.blocks
    wrong = blocks[0].attn.forward
    monkeypatch.setattr(torch, "autocast", lambda *given: _Wrong(blocks[0].attn, wrong))
    assert training.check_gradients() > 0.05


class _Wrong:
    """While entered, one attention layer of the network at hand answers ten times too much."""

    def __init__(self, layer: Any, forward: Any) -> None:
        self.layer, self.forward = layer, forward

    def __enter__(self) -> None:
        self.layer.forward = lambda *x, **options: 10 * self.forward(*x, **options)

    def __exit__(self, *_: Any) -> None:
        del self.layer.forward


def test_worse_answers_bring_the_last_good_weights_back(training: Any) -> None:
    good = [value.clone() for value in training.average]
    training.go_back(0.7)
    with torch.no_grad():
        for parameter in training.parameters:
            parameter.add_(1.0)
    training.go_back(0.66)  # noise
    assert training.caution == 1.0
    training.go_back(0.3)
    assert training.caution == pytest.approx(1 / 3)
    for parameter, value in zip(training.parameters, good, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_clicks_on_a_cpu_follow_the_same_law(modules: Any) -> None:
    mask = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    mask[0, 0, 10:30, 10:30] = True
    uniform = torch.rand(2, 1600, generator=torch.Generator().manual_seed(0))
    for clicks in (modules.clicks.corrective_clicks, modules.clicks.corrective_clicks_on_cpu):
        found = clicks(torch.zeros(2, 1, 40, 40), mask, uniform)
        assert found.made.tolist() == [True, False]
        assert bool(found.positive[0])
        assert 14 <= int(found.row[0]) <= 25
        assert 14 <= int(found.col[0]) <= 25


def test_the_rate_rises_and_falls(modules: Any) -> None:
    settings = modules.settings.Settings(rate=1.0, warm_up=10)
    rates = [modules.settings.rate_at(p, s, settings) for p, s in ((0, 0), (0.1, 20), (0.5, 50), (1, 99))]
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] > 0.9
    assert 0.4 < rates[2] < 0.6
    assert rates[3] < 0.02

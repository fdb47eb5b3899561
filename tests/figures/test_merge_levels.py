"""Pictures of merge trees: what is in each panel, read back from the figure."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.figures.merge_levels import merge_levels, merging_step, pixels_of, shallow_nodes
from mis_lightning.figures.outlines import border_lines
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.merge_tree.ward import build_merge_tree

SIZE = (23, 31)  # no multiple of the grid
GRID = (5, 6)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(256, size=(*SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tree():
    return build_merge_tree(np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32), GRID)


def picture(axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def lines(axes, which: int) -> np.ndarray:
    return np.array(axes.collections[which].get_segments()).reshape(-1, 2, 2)


def test_pixels_belong_to_the_patches_that_node_mask_gives_them(tree) -> None:
    labels = pixels_of(tree.cut(7), SIZE)
    first_leaf = {label: int(np.flatnonzero(tree.cut(7).ravel() == label)[0]) for label in range(7)}
    for label, leaf in first_leaf.items():
        node = next(
            int(node)
            for node in tree.ancestors(leaf)[::-1]
            if (tree.cut(7)[tree.mask(int(node))] == label).all()
        )
        np.testing.assert_array_equal(labels == label, node_mask(tree, node, SIZE))


def test_levels_have_a_panel_each_with_borders_where_the_cut_changes(image, tree) -> None:
    figure = merge_levels(image, tree, (2, 5, 11), columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["image", "2 regions", "5 regions", "11 regions"]
    np.testing.assert_array_equal(picture(figure.axes[0]), image)
    for ax, k in zip(figure.axes[1:], (2, 5, 11), strict=True):
        np.testing.assert_array_equal(lines(ax, 0), border_lines(pixels_of(tree.cut(k), SIZE)))


def test_mean_fill_is_the_mean_of_each_region(image, tree) -> None:
    figure = merge_levels(image, tree, (4,), fill="mean")
    labels = pixels_of(tree.cut(4), SIZE)
    for label in range(4):
        expected = image[labels == label].mean(axis=0) / 255
        shown = picture(figure.axes[1])[labels == label]
        np.testing.assert_allclose(shown, np.broadcast_to(expected, shown.shape), rtol=1e-9)


def test_palette_fill_keeps_the_image_under_one_tint_per_region(image, tree) -> None:
    shown = picture(merge_levels(image, tree, (4,)).axes[1])
    labels = pixels_of(tree.cut(4), SIZE)
    without_image = shown - 0.5 * (1 - 0.15) * (image / 255)
    tints = [np.unique(without_image[labels == k].round(6), axis=0) for k in range(4)]
    assert [len(tint) for tint in tints] == [1, 1, 1, 1]
    assert len(np.unique(np.concatenate(tints), axis=0)) == 4


def test_a_merge_is_shown_in_the_state_before_it(image, tree) -> None:
    figure = merging_step(image, tree, (-1, -6, 10))
    assert [ax.get_title().split(",")[0] for ax in figure.axes] == [
        "2 → 1",
        "7 → 6",
        "20 → 19",
    ]
    ax, merge = figure.axes[1], 29 - 6
    assert float(ax.get_title().split("cost ")[1]) == pytest.approx(tree.cost[merge], rel=0.005)
    np.testing.assert_array_equal(lines(ax, 0), border_lines(pixels_of(tree.cut(7), SIZE)))
    first, second = (node_mask(tree, int(node), SIZE) for node in tree.children[merge])
    outline = border_lines(first.astype(int) + 2 * second)  # around each of the two
    np.testing.assert_array_equal(lines(ax, -1), outline)
    shown = picture(ax)
    bluer = (shown[..., 2] - shown[..., 0])[first].mean()
    oranger = (shown[..., 0] - shown[..., 2])[second].mean()
    rest = (shown[..., 0] - shown[..., 2])[~first & ~second].mean()
    assert bluer > 0.3
    assert oranger > 0.3
    assert abs(rest) < 0.1


def test_shallow_nodes_show_the_children_of_the_root_first(image, tree) -> None:
    figure = shallow_nodes(image, tree, (1, 2, 3))
    assert [ax.get_title() for ax in figure.axes] == ["image", "1 region", "2 regions", "3 regions"]
    assert len(lines(figure.axes[1], 0)) == 0
    child = int(tree.children[-1, 0])
    np.testing.assert_array_equal(lines(figure.axes[2], 0), border_lines(node_mask(tree, child, SIZE)))


def test_figures_fill_the_width_asked_for(image, tree) -> None:
    figure = merge_levels(image, tree, (2, 3, 4), width=3.3)
    page = merge_levels(image, tree, (2, 3, 4, 5, 6), width=7.0)
    assert figure.get_size_inches()[0] == 3.3
    boxes = [ax.get_position() for ax in figure.axes]
    assert [len({round(ax.get_position().x0, 6) for ax in f.axes}) for f in (figure, page)] == [2, 4]
    assert boxes[0].x0 == pytest.approx(0)
    assert boxes[1].x1 == pytest.approx(1)
    shape = figure.get_size_inches() * (boxes[0].width, boxes[0].height)
    assert shape[1] / shape[0] == pytest.approx(SIZE[0] / SIZE[1])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda image, tree: merge_levels(image[..., 0], tree), "RGB, uint8"),
        (lambda image, tree: merge_levels(image / 255, tree), "RGB, uint8"),
        (lambda image, tree: merge_levels(image, tree, (2, 31)), r"1\.\.30"),
        (lambda image, tree: merge_levels(image, tree, (2,), fill="red"), "'red'"),
        (lambda image, tree: merge_levels(image, tree, (2,), columns=0), "0 columns"),
        (lambda image, tree: merging_step(image, tree, (29,)), r"0\.\.28"),
        (lambda image, tree: merging_step(image, tree, ()), "at least one"),
    ],
)
def test_what_does_not_fit_is_named(image, tree, draw, message) -> None:
    with pytest.raises(InputError, match=message):
        draw(image, tree)

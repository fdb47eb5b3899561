"""Views of a merge tree: its regions at several levels, single merges, the nodes near the root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.figures.outlines import draw_borders
from mis_lightning.figures.panels import check_image, faded, image_panels, show
from mis_lightning.figures.style import BLUE, ORANGE, PAGE_WIDTH, PALETTE, PALETTE_RGB
from mis_lightning.figures.taking_apart import take_apart
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.merge_tree.tree import MergeTree


def merge_levels(
    image: NDArray[np.uint8],
    tree: MergeTree,
    regions: Sequence[int] = (2, 4, 8, 16, 32, 64),
    *,
    fill: Literal["palette", "mean"] = "palette",
    columns: int | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The image, and the regions left when its last merges are undone (:meth:`MergeTree.cut`).

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        tree: Its merge tree.
        regions: Numbers of regions, a picture each.
        fill: ``"palette"``: a colour for each region, which it keeps through all pictures, over the faded
            image; ``"mean"``: the mean colour of its pixels.
        columns: Pictures in a row; ``None`` fits them to the width.
        width: Of the figure, in inches.

    Raises:
        InputError: The image is of another kind, or a number of regions is not in ``1..n``.
    """
    return _levels(image, tree, regions, "merge", fill, columns, width)


def shallow_nodes(
    image: NDArray[np.uint8],
    tree: MergeTree,
    counts: Sequence[int] = (2, 4, 8, 16, 32, 64),
    *,
    fill: Literal["palette", "mean"] = "palette",
    columns: int | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The image, and the regions of the nodes nearest to the root, which training favours (paper Fig. III).

    The region of least depth is taken apart first, the larger of equals, until ``count`` regions are there.
    So ``2**d`` regions all have depth ``d``, unless a patch lies nearer to the root. :func:`merge_levels`
    goes by the order of the merges instead.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        tree: Its merge tree.
        counts: Numbers of regions, a picture each.
        fill: As in :func:`merge_levels`.
        columns: Pictures in a row; ``None`` fits them to the width.
        width: Of the figure, in inches.

    Raises:
        InputError: The image is of another kind, or a count is not in ``1..n``.
    """
    return _levels(image, tree, counts, "depth", fill, columns, width)


def merging_step(
    image: NDArray[np.uint8],
    tree: MergeTree,
    merges: Sequence[int] = (-128, -32, -8, -1),
    *,
    columns: int | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Single merges: all regions there are at that moment, and the two that join (paper Fig. II).

    A title says how many regions there are before and after the merge, and its linkage cost.

    Args:
        image: RGB, uint8, ``(H, W, 3)``.
        tree: Its merge tree.
        merges: Which merges, ``0..n-2``; negative ones count from the last merge, which is ``-1``.
        columns: Pictures in a row; ``None`` fits them to the width.
        width: Of the figure, in inches.

    Raises:
        InputError: The image is of another kind, or there is no such merge.
    """
    check_image(image)
    last = tree.n_leaves - 1
    if not all(-last <= merge < last for merge in merges):
        raise InputError(
            f"Expected `merges` in 0..{last - 1}, or -{last}..-1 from the last, but got {list(merges)}."
        )
    size = (image.shape[0], image.shape[1])
    figure, axes = image_panels(size, len(merges), columns, width)
    for ax, merge in zip(axes, (merge % last for merge in merges), strict=True):
        picture = faded(image, 0.55)
        pair = [node_mask(tree, int(node), size) for node in tree.children[merge]]
        for mask, colour in zip(pair, (BLUE, ORANGE), strict=True):
            picture[mask] = 0.45 * image[mask] / 255 + 0.55 * PALETTE_RGB[PALETTE.index(colour)]
        count = tree.n_leaves - merge
        cost = np.format_float_positional(tree.cost[merge], precision=3, fractional=False, trim="-")
        show(ax, picture, f"{count} → {count - 1}, cost {cost}")
        draw_borders(ax, pixels_of(tree.cut(count), size), "0.35", 0.3)
        draw_borders(ax, pair[0].astype(np.int8) - pair[1], "black", 0.6, halo="white")
    return figure


def pixels_of(patches: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.generic]:
    """Values of patches ``(h, w)`` at the pixels of an image ``(H, W)``, placed as :func:`node_mask` does."""
    rows, cols = (np.arange(side) * n // side for side, n in zip(size, patches.shape, strict=True))
    return patches[rows][:, cols]


def _levels(
    image: NDArray[np.uint8],
    tree: MergeTree,
    counts: Sequence[int],
    by: Literal["merge", "depth"],
    fill: str,
    columns: int | None,
    width: float,
) -> Figure:
    check_image(image)
    if fill not in ("palette", "mean"):
        raise InputError(f'Expected `fill` as "palette" or "mean", but got {fill!r}.')
    stages = take_apart(tree, counts, by, len(PALETTE))
    size = (image.shape[0], image.shape[1])
    figure, axes = image_panels(size, 1 + len(stages), columns, width)
    show(axes[0], image, "image")
    for ax, stage, count in zip(axes[1:], stages, counts, strict=True):
        regions = pixels_of(stage.nodes, size)
        if fill == "mean":
            picture = _mean_colours(image, regions)
        else:
            picture = 0.5 * faded(image, 0.15) + 0.5 * PALETTE_RGB[pixels_of(stage.colours, size)]
        show(ax, picture, f"{count} region" + "s" * (count != 1))
        draw_borders(ax, regions, "black" if fill == "mean" else "white", 0.5)
    return figure


def _mean_colours(image: NDArray[np.uint8], regions: NDArray[np.generic]) -> NDArray[np.float64]:
    """The mean colour of its region at each pixel, float64, ``(H, W, 3)``, in ``[0, 1]``."""
    _, index = np.unique(regions, return_inverse=True)
    index = index.ravel()
    area = np.bincount(index)
    means = [np.bincount(index, channel.ravel() / 255) / area for channel in np.moveaxis(image, -1, 0)]
    return np.stack(means, axis=-1)[index].reshape(image.shape)

"""``mis bench simulate``: one round of click simulation against the loop it replaces.

Rules: docs/protocol.md#corrective-clicks, docs/protocol.md#click-maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mis_lightning.bench.compare import compare, parser, report, set_up
from mis_lightning.bench.figure import Figure
from mis_lightning.clicks.corrective import add_corrective_clicks
from mis_lightning.clicks.encoding import encode_points
from mis_lightning.clicks.initial import InitialPoints

TIME_GOAL, MEMORY_GOAL = 0.25, 64.0  # of the plain loop; MiB


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench simulate``.

    Args:
        argv: The words after the command.

    Returns:
        0.

    Raises:
        InputError: An option is out of range.
    """
    options = parser("mis bench simulate", "Time one corrective click per sample and the click maps.")
    options.add_argument(
        "--points", type=int, default=24, help="most points of a kind (default: %(default)s)"
    )
    options.add_argument(
        "--at-once",
        type=int,
        default=4,
        help="samples whose plain click maps are in memory (default: %(default)s)",
    )
    given = options.parse_args(argv)
    device = set_up(given)
    points, probability, mask = (part.to(device) for part in workload(given.batch, given.size, given.points))
    generator = torch.Generator().manual_seed(0)
    random = np.random.default_rng(0)
    size = (given.size, given.size)

    def choose() -> Tensor:
        return add_corrective_clicks(points, probability, mask, 1, generator)

    def plain_choose() -> Tensor:
        return plain_corrective_clicks(points, probability, mask, 1, random)

    def plain_draw(chosen: Tensor) -> list[Tensor]:
        return [plain_disks(some, size) for some in chosen.split(given.at_once)]

    ways = {
        "click choice": choose,
        "click maps": lambda: encode_points(points, size),
        "both": lambda: encode_points(choose(), size),
        "click choice, plain": plain_choose,
        "click maps, plain": lambda: plain_draw(points),
        "both, plain": lambda: plain_draw(plain_choose()),
    }
    costs = compare(ways, given.repeats, device)
    ours, plain = costs["both"], costs["both, plain"]
    figures = [Figure("both, of the plain loop's time", ours.seconds / plain.seconds, "x", TIME_GOAL)]
    if ours.peak_mebibytes is not None:
        figures.append(Figure("both, peak memory", ours.peak_mebibytes, "MiB", MEMORY_GOAL))
    report(costs, given, figures)
    return 0


def workload(batch: int, size: int, max_points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make a batch as training sees it early on: regions, and predictions that follow them loosely.

    Returns:
        Points float32 ``(B, 2K, 3)``, probability float32 ``(B, 1, H, W)``, mask bool ``(B, 1, H, W)``.
    """
    generator = torch.Generator().manual_seed(0)

    def smooth(cells: int) -> Tensor:
        coarse = torch.randn(batch, 1, cells, cells, generator=generator)
        return interpolate(coarse, (size, size), mode="bicubic")

    height = smooth(5)
    mask = height > 0.3
    probability = torch.sigmoid(4 * (height - 0.3) + 2 * smooth(8) + smooth(60))
    sampler, random = InitialPoints(max_points), np.random.default_rng(0)
    points = np.stack([sampler(one, random) for one in mask[:, 0].numpy()])
    return torch.from_numpy(points), probability, mask


def plain_corrective_clicks(
    points: Tensor, probability: Tensor, mask: Tensor, order: int, generator: np.random.Generator
) -> Tensor:
    """docs/protocol.md#corrective-clicks literally, sample by sample."""
    points, half = points.clone(), points.shape[1] // 2
    predictions, targets = probability[:, 0].cpu().numpy(), mask[:, 0].cpu().numpy() > 0.5
    missed = np.logical_and(targets, predictions < 0.49)
    wrong = np.logical_and(np.logical_not(targets), predictions > 0.49)
    for sample in range(len(points)):
        depths = [
            cv2.distanceTransform(np.pad(error[sample], 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
            for error in (missed, wrong)
        ]
        deepest = [depth.max() for depth in depths]
        positive = deepest[0] > deepest[1]
        candidates = np.argwhere((depths[0] if positive else depths[1]) > max(deepest) / 2.0)
        if len(candidates) > 0:
            row, col = candidates[generator.integers(len(candidates))]
            points[sample, half - order if positive else 2 * half - order] = torch.tensor(
                [row, col, order], dtype=points.dtype
            )
    return points


def plain_disks(points: Tensor, size: tuple[int, int], radius: float = 5.0) -> Tensor:
    """docs/protocol.md#click-maps literally. Equals ``encode_points``."""
    (batch, rows, _), (height, width) = points.shape, size
    row = torch.arange(height, dtype=torch.float32, device=points.device)
    col = torch.arange(width, dtype=torch.float32, device=points.device)
    grid = torch.stack(torch.meshgrid(row, col, indexing="ij"))
    position = points[..., :2].reshape(-1, 2)
    away = grid - position[:, :, None, None]
    away.mul_(away)
    square = away[:, 0] + away[:, 1]
    square[position.amax(1) < 0] = 1e6
    nearest = square.view(batch, 2, rows // 2, height, width).amin(2)
    return (nearest <= radius * radius).float()

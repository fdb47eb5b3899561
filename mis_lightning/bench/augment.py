"""``mis bench augment``: the paper's augmentation against albumentations with the same transforms.

Rule: docs/protocol.md#augmentation. albumentations is no dependency: install it beside, if only for this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from mis_lightning.bench.compare import compare, parser, report, set_up
from mis_lightning.bench.figure import Figure
from mis_lightning.data.augment import Image, Mask, PaperAugmentation
from mis_lightning.errors import InputError

GOAL = 0.5  # of albumentations' time
SIDES = (480, 640)  # of the images, as in COCO


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench augment``.

    Args:
        argv: The words after the command.

    Returns:
        0.

    Raises:
        InputError: An option is out of range, or albumentations is not installed.
    """
    given = parser("mis bench augment", "Augment a batch of photographs on one thread.").parse_args(argv)
    device = set_up(given)
    cv2.setNumThreads(1)
    images, masks = workload(given.batch)
    rival = albumentations(given.size)
    ours = PaperAugmentation((given.size, given.size))
    ways: dict[str, Callable[[Image, Mask, np.random.Generator], object]] = {
        "augmentation": ours,
        "albumentations": lambda image, mask, _: rival(image=image, mask=mask.view(np.uint8)),
    }
    costs = compare(
        {name: partial(augment_all, way, images, masks) for name, way in ways.items()}, given.repeats, device
    )
    share = costs["augmentation"].cpu_seconds / costs["albumentations"].cpu_seconds
    report(costs, given, [Figure("of albumentations' processor time", share, "x", GOAL)])
    return 0


def workload(count: int) -> tuple[list[Image], list[Mask]]:
    """Make smooth images with a disc as mask."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    images = [np.asarray(cv2.resize(one, SIDES[::-1]), np.uint8) for one in coarse]
    rows, cols = np.ogrid[: SIDES[0], : SIDES[1]]
    return images, [np.hypot(rows - 200, cols - 300) < 90 for _ in images]


def augment_all(
    way: Callable[[Image, Mask, np.random.Generator], object], images: list[Image], masks: list[Mask]
) -> None:
    """Augment each image once, with a generator of its own."""
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        way(image, mask, np.random.default_rng(number))


def albumentations(size: int) -> Any:
    """The same chain of albumentations' transforms.

    Raises:
        InputError: It is not installed.
    """
    try:
        a = import_module("albumentations")
    except ImportError as error:
        raise InputError("`mis bench augment` needs albumentations: `pip install albumentations`.") from error
    ours = PaperAugmentation((size, size))
    return a.Compose(
        [
            a.RandomScale(scale_limit=tuple(s - 1 for s in ours.scale), p=1.0),
            a.OneOf([a.HorizontalFlip(p=1.0), a.VerticalFlip(p=1.0)], p=ours.flip_probability),
            a.RandomRotate90(p=ours.rotate90_probability),
            a.ShiftScaleRotate(
                shift_limit=ours.shift,
                scale_limit=0,
                rotate_limit=ours.degrees,
                border_mode=cv2.BORDER_CONSTANT,
                p=ours.shift_rotate_probability,
            ),
            a.PadIfNeeded(min_height=size, min_width=size, border_mode=cv2.BORDER_CONSTANT),
            a.RandomCrop(size, size),
            a.RandomBrightnessContrast(
                brightness_limit=ours.brightness,
                contrast_limit=ours.contrast,
                p=ours.brightness_contrast_probability,
            ),
            a.RGBShift(*[ours.rgb_shift] * 3, p=ours.rgb_shift_probability),
        ]
    )

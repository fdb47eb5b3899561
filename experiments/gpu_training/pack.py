"""Images and salient masks in one file that travels to the machine with the GPU.

    python experiments/gpu_training/pack.py .gpu_data/images.npz FOLDER...

Photographs are scaled down to at most 384 pixels a side; of microscopy (``--native FOLDER``) a piece of at
most 384 pixels is taken as it is, since its objects are small. Salient masks: TokenCut on colour, at three
patch sizes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.images import list_images, read_image
from mis_lightning.regions.tokencut import token_cut

SIDE = 384
SALIENT = ((24, 12.0, 0.3), (16, 10.0, 0.2), (16, 20.0, 0.35))
"""Patches along the longer side, width of the colour kernel and threshold of each salient mask."""


def shrink(image: NDArray[np.uint8], native: bool, generator: np.random.Generator) -> NDArray[np.uint8]:
    """An image of at most ``SIDE`` pixels a side: scaled down, or a piece of it."""
    height, width = image.shape[:2]
    if native:
        top = int(generator.integers(max(height - SIDE, 0) + 1))
        left = int(generator.integers(max(width - SIDE, 0) + 1))
        return np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def salient_masks(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """TokenCut's masks, 0 and 255, ``(len(SALIENT), h, w)``, all scaled to 48 patches of the longer side."""
    masks = []
    height, width = image.shape[:2]
    scale = 48 / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    for patches, colour_scale, threshold in SALIENT:
        stride = max(1, max(height, width) // patches)
        extractor = ColourTexture(stride, max(height, width), 0.7, colour_scale)
        features, grid = extractor(image)
        mask = token_cut(features, grid, threshold)
        masks.append(cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_LINEAR))
    return np.stack(masks)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--native", nargs="*", type=Path, default=[])
    parser.add_argument("--quality", type=int, default=88)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for native, folder in [(False, f) for f in arguments.folders] + [(True, f) for f in arguments.native]:
        for path in list_images(folder):
            image = shrink(read_image(path), native, generator)
            quality = min(100, arguments.quality + 6 * native)
            coded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            number = len(arrays) // 3
            arrays[f"{number:05d}.jpg"] = np.asarray(coded, np.uint8).ravel()
            arrays[f"{number:05d}.salient"] = salient_masks(image)
            arrays[f"{number:05d}.upright"] = np.array([not native], np.uint8)
            if number % 50 == 0:
                print(number, path, flush=True)
    arguments.target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.target, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

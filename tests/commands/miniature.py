"""Everything that `mis reproduce` looks for, in the published layouts and formats, small and made up.

python tests/commands/miniature.py /tmp/mini
cd /tmp/mini && mis reproduce --quick --device cpu --allow-incomplete --minute 5 --data data -- $(cat options)
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat
from scipy.sparse import csc_matrix

SIZE = (64, 80)
OBJECTS = 3  # of each benchmark
EXTRACTORS = (
    "vit_small_patch8_224.dino",
    "vit_small_patch16_224.dino",
    "vit_base_patch8_224.dino",
    "vit_base_patch16_224.dino",
    "vit_small_patch14_dinov2.lvd142m",
)
NETWORK = {"patch_size": 8, "dim": 32, "depth": 2, "heads": 2, "window": 2, "global_every": 3, "head_dim": 8}
OPTIONS = [
    "--model.model.init_args.input_size=[64,64]",
    "--model.model.init_args.neck_dims=[8,16,16,16]",
    *(f"--model.model.init_args.{name}={value}" for name, value in NETWORK.items()),
    "--data.augment.init_args.size=[64,64]",
    "--data.num_workers=0",
    "--trainer.enable_progress_bar=false",
]


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture, and the map of its two objects."""
    generator = np.random.default_rng(number)
    labels = np.zeros(SIZE, np.uint8)
    for level in (1, 2):
        centre = (int(generator.integers(15, 65)), int(generator.integers(15, 50)))
        cv2.circle(labels, centre, int(generator.integers(8, 15)), level, -1)
    colours = generator.integers(0, 256, (3, 3))
    noise = generator.normal(0, 12, (*SIZE, 3))
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_sbd(folder: Path, images: int) -> None:
    """``img/``, ``inst/``, ``train.txt`` and ``val.txt``."""
    (folder / "inst").mkdir(parents=True)
    names = [f"2008_{number:06d}" for number in range(images + OBJECTS)]
    for number, name in enumerate(names):
        pixels, labels = scene(number)
        write(folder / "img" / f"{name}.jpg", pixels)
        boundaries = np.empty((2, 1), dtype=object)
        boundaries[:, 0] = [csc_matrix(labels == level) for level in (1, 2)]
        categories = np.array([[5], [15]], np.uint8)
        content = {"Segmentation": labels, "Boundaries": boundaries, "Categories": categories}
        savemat(folder / "inst" / f"{name}.mat", {"GTinst": content})
    (folder / "train.txt").write_text("\n".join(names[:images]) + "\n", encoding="utf-8")
    (folder / "val.txt").write_text("\n".join(names[images:]) + "\n", encoding="utf-8")


def make_benchmarks(folder: Path) -> None:
    """GrabCut, Berkeley, DAVIS, BraTS and OAI-ZIB."""
    for name, images, masks in (
        ("GrabCut", "data_GT", "boundary_GT"),
        ("Berkeley", "images", "masks"),
        ("DAVIS", "img", "gt"),
        ("BraTS", "image", "annotation"),
        ("OAIZIB", "test/image", "test/annotations"),
    ):
        for number in range(OBJECTS):
            pixels, labels = scene(1000 + number)
            write(folder / name / images / f"{number}.png", pixels)
            write(folder / name / masks / f"{number}.png", ((labels == 1) * 255).astype(np.uint8))


def make_weights(folder: Path) -> None:
    """Random weights of every extractor and of MAE, as their authors' files hold them."""
    folder.mkdir(parents=True)
    for name in EXTRACTORS:
        save_file(timm.create_model(name, num_classes=0).state_dict(), folder / f"{name}.safetensors")
    vit = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    moco = {"state_dict": {f"module.base_encoder.{key}": value for key, value in vit.items()}}
    torch.save(moco, folder / "vit-s-300ep.pth.tar")
    resnet = timm.create_model("resnet101", num_classes=0).state_dict()
    torch.save({"state_dict": resnet}, folder / "densecl_r101_imagenet_200ep.pth")
    make_encoder(folder)


def make_encoder(folder: Path) -> None:
    """MAE's file, for the small network."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = timm.models.VisionTransformer(
        img_size=64,
        patch_size=NETWORK["patch_size"],
        embed_dim=NETWORK["dim"],
        depth=NETWORK["depth"],
        num_heads=NETWORK["heads"],
        num_classes=0,
    )
    torch.save({"model": encoder.state_dict()}, folder / "mae_pretrain_vit_base.pth")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    make_sbd(place / "data" / "SBD", 64)
    make_benchmarks(place / "data")
    make_weights(place / "weights")
    (place / "options").write_text(" ".join(OPTIONS) + "\n", encoding="utf-8")

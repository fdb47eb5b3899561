"""What several test files share: one thread, a tiny click model, and training without trees or files."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Before torch and numba are imported: small arrays gain nothing from threads, and runs stay comparable.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Also for processes that tests start: the package beside these tests, not one that is installed.
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

if TYPE_CHECKING:
    import lightning as L
    from torch import Tensor
    from torch.nn import Module
    from torch.utils.data import DataLoader

    from mis_lightning.models.click_vit import ClickViT
    from mis_lightning.structures import Prompt
    from mis_lightning.training.module import InteractiveSegmentation


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """The millions of objects that imports have made stay; to look through them again gains nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture
def tiny_click_vit() -> Callable[..., ClickViT]:
    """Makes click models of 32 × 48 pixels and a few thousand weights, the same for the same arguments."""
    import torch

    from mis_lightning.models.click_vit import ClickViT

    def make(kind: type[ClickViT] = ClickViT, seed: int = 0, **changes: Any) -> ClickViT:
        shape = {"input_size": (32, 48), "patch_size": 8, "dim": 16, "depth": 2, "heads": 2, "window": 2}
        shape |= {
            "global_every": 2,
            "neck_dims": (4, 6, 8, 12),
            "head_dim": 8,
            "click_radius": 2.0,
            **changes,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kind(**shape)

    return make


@pytest.fixture
def disk_net() -> Callable[..., Module]:
    """Makes click models without training: random, recurrent in the previous mask, a disk at each click.

    They count the times they are asked (``calls``).
    """
    import torch
    from torch import nn

    class DiskNet(nn.Module):
        def __init__(self, input_size: tuple[int, int] = (32, 48), seed: int = 0) -> None:
            super().__init__()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.convolution = nn.Conv2d(4, 1, 5, padding=2)
            self.input_size, self.calls = input_size, 0

        def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
            self.calls += 1
            logits = 4 * self.convolution(torch.cat([image, prompt.previous_mask], 1)) - 1
            (height, width), half = image.shape[-2:], prompt.points.shape[1] // 2
            rows, cols = torch.arange(height)[:, None], torch.arange(width)
            for one, clicks in zip(logits, prompt.points.tolist(), strict=True):
                for k, (row, col, order) in enumerate(clicks):
                    if order >= 0:
                        near = (rows - row) ** 2 + (cols - col) ** 2 < height * width / 25
                        one[0, near] += 3 if k < half else -3
            return logits

    return DiskNet


@pytest.fixture
def tiny_training(
    tiny_click_vit: Callable[..., ClickViT],
) -> Callable[..., tuple[InteractiveSegmentation, DataLoader[Any]]]:
    """Makes a training module and a loader of random images, each with a random box as its region."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    from mis_lightning.data.epoch_sampler import EpochSampler
    from mis_lightning.losses.interactive import ClickLoss
    from mis_lightning.training.datamodule import batches_done
    from mis_lightning.training.module import InteractiveSegmentation

    class Boxes(Dataset[dict[str, Any]]):
        """Items as those of RegionDataset, asked for as ``(epoch, index)``."""

        def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
            random = np.random.default_rng(item)
            image = random.integers(256, size=(3, 32, 48), dtype=np.uint8)
            mask = np.zeros((1, 32, 48), dtype=bool)
            top, left = random.integers((4, 4), (20, 30))
            mask[:, top : top + 10, left : left + 14] = True
            points = np.full((8, 3), -1, dtype=np.float32)
            points[0] = top + 5, left + 7, 100
            return {"image": image, "mask": mask, "points": points}

    def make(
        model: ClickViT | None = None, samples: int = 6, batch_size: int = 2, **settings: Any
    ) -> tuple[InteractiveSegmentation, DataLoader[Any]]:
        settings = {"loss": ClickLoss(smoothness_weight=1.0), **settings}
        settings.setdefault("optimizer", lambda parameters: torch.optim.AdamW(parameters, lr=1e-2))
        module = InteractiveSegmentation(model if model is not None else tiny_click_vit(), **settings)

        def done() -> int:
            return batch_size * batches_done(module.trainer) if module._trainer is not None else 0

        sampler = EpochSampler(samples, 0, lambda: module.current_epoch, done)
        return module, DataLoader(Boxes(), batch_size, sampler=sampler)

    return make


@pytest.fixture
def quiet_trainer(tmp_path: Path) -> Callable[..., L.Trainer]:
    """Makes trainers on the CPU that print nothing and write only what they are told to."""
    import lightning as L

    def make(**settings: Any) -> L.Trainer:
        off = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
        silent = {name: False for name in off}
        defaults = {
            "accelerator": "cpu",
            "devices": 1,
            "num_sanity_val_steps": 0,
            "default_root_dir": tmp_path,
        }
        return L.Trainer(**{**silent, **defaults, **settings})

    return make


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch):
    """Parses the options of a Lightning verb as `mis` does, without making anything; returns the config."""
    from mis_lightning.commands.lightning import MISCLI, run

    monkeypatch.chdir(Path(__file__).parents[1])
    monkeypatch.setattr(MISCLI, "instantiate_classes", lambda self: None)

    def parsed(options):
        import yaml

        cli = run(options, run=False)
        return yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))

    return parsed


@pytest.fixture(scope="session")
def scene() -> Callable[..., Any]:
    """Draws bright disks and green squares, apart, on a dark and noisy ground.

    It returns RGB, uint8, ``(H, W, 3)``, the masks of the disks and those of the squares, bool.
    """
    import numpy as np

    def draw(seed: int = 0, size: Any = (150, 180), disks: int = 9, squares: int = 4, radius: int = 8) -> Any:
        generator = np.random.default_rng(seed)
        rows, cols = np.mgrid[: size[0], : size[1]]
        image = np.full((*size, 3), 40.0)
        cells = [(r, c) for r in range(14, size[0] - 14, 28) for c in range(14, size[1] - 14, 28)]
        places = [cells[k] for k in generator.permutation(len(cells))]
        round_ones, square_ones = [], []
        for number, (row, col) in enumerate(places[: disks + squares]):
            row, col = row + generator.integers(-3, 4), col + generator.integers(-3, 4)
            if number < disks:
                mask = np.hypot(rows - row, cols - col) < radius + generator.uniform(-1, 1)
                image[mask] = (200, 170, 60)
                round_ones.append(mask)
            else:
                mask = (abs(rows - row) < radius - 1) & (abs(cols - col) < radius - 1)
                image[mask] = (60, 160, 60)
                square_ones.append(mask)
        image += generator.normal(0, 5, image.shape)
        return np.clip(image, 0, 255).astype(np.uint8), round_ones, square_ones

    return draw

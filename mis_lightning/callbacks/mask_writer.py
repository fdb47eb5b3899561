"""Writes the masks of ``mis predict`` as PNG files, 0 and 255."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from PIL import Image

from mis_lightning.files import written_whole


class MaskWriter(L.Callback):
    """Saves each mask under the name of its image.

    Args:
        folder: Where the masks go.
    """

    def __init__(self, folder: str = "masks") -> None:
        self.folder = Path(folder)

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the mask of one image, whole or not at all."""
        path, mask = outputs
        target = self.folder / f"{path.stem}.png"
        with written_whole(target) as temporary:
            Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, format="PNG")

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say where they are."""
        print(f"masks are in {self.folder}")

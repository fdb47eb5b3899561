"""The interface of patch extractors."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class PatchExtractor(Protocol):
    """Anything that turns an image into patch features.

    To add one, write a class with these two methods and name it by ``class_path`` in a config. It is called
    in dataloader workers; one that sets an attribute ``device`` to a ``torch.device`` other than the CPU is
    called in the main process only, for accelerators cannot be shared with forked processes. There, one that
    also has ``prepare(image) -> array`` and ``extract(array)``, which together do what a call does, gets its
    images prepared in the processes that read them.
    """

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Extract features.

        Args:
            image: RGB, uint8, ``(H, W, 3)``.

        Returns:
            Features, float32 ``(n, c)``, row-major over the grid, and the grid ``(h, w)``, ``n = h * w``. The
            grid tiles the whole image.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Return everything that determines the output, as JSON values; it is stored in the manifest."""
        ...

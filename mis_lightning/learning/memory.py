"""What a learner knows, in a folder beside the annotations: written whole, read back, removed.

``state.json`` is written last and names all other files: what it does not name is of a killed process, and is
removed. Weights are differences from the start in float16; lessons are PNG files with the mask as alpha.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.torch import save
from torch import Tensor

from mis_lightning.errors import InputError
from mis_lightning.files import sweep, written_whole
from mis_lightning.learning.lessons import Lesson
from mis_lightning.structures import Click
from mis_lightning.weight_files import read_weights

FORMAT = "mis-learned"
VERSION = 1
_STATE = "state.json"


class Memory:
    """A folder of what was learned.

    Args:
        folder: Made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.is_dir():
            sweep(folder)

    def write(self, state: Mapping[str, Any], weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Keep a state and the files it names.

        Args:
            state: JSON values. Files it names under ``"files"`` stay, the others are removed.
            weights: Files of tensors to write, by name; one that is there already is left alone.

        Raises:
            OSError: The disk does not take it; what was there stays.
        """
        for name, tensors in weights.items():
            if not (self.folder / name).exists():
                self._write(name, save({key: value.contiguous() for key, value in tensors.items()}))
        content = {"format": FORMAT, "version": VERSION, **state}
        self._write(_STATE, json.dumps(content, separators=(",", ":")).encode())
        self.prune(state["files"])

    def prune(self, files: Collection[str]) -> None:
        """Remove what a state does not name."""
        for path in self.folder.iterdir():
            if path.name != _STATE and path.name not in files and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def write_lesson(self, name: str, lesson: Lesson) -> None:
        """Keep the picture of a lesson; its clicks are in the state."""
        alpha = lesson.mask.astype(np.uint8) * 255
        pixels = np.dstack([lesson.image[:, :, ::-1], alpha])
        self._write(name, cv2.imencode(".png", pixels)[1].tobytes())

    def read_lesson(self, name: str, clicks: list[list[Any]]) -> Lesson:
        """Read a lesson.

        Raises:
            InputError: There is none, or it is damaged.
        """
        try:
            data = np.frombuffer((self.folder / name).read_bytes(), np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or not pixels[:, :, 3].any():
                raise ValueError("it is not a picture with an object")
            made = tuple(Click(float(row), float(col), bool(positive)) for row, col, positive in clicks)
        except (OSError, ValueError, TypeError, cv2.error) as error:
            raise InputError(f"Expected a lesson in {self.folder / name}, but: {error}.") from error
        image = np.ascontiguousarray(pixels[:, :, 2::-1])
        return Lesson(np.asarray(image, np.uint8), pixels[:, :, 3] > 0, made)

    def read_weights(self, name: str) -> dict[str, Tensor]:
        """Read a file of tensors.

        Raises:
            InputError: There is none, or it is damaged.
        """
        found: dict[str, Tensor] = read_weights(self.folder / name)
        return found

    def read(self) -> dict[str, Any] | None:
        """The state, or ``None`` where nothing is kept.

        Raises:
            InputError: It is damaged, or of another version of this program.
        """
        path = self.folder / _STATE
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"Expected what was learned in {path}, but: {error}.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f'Expected what was learned in {path}, JSON with "format": "{FORMAT}".')
        if content.get("version") != VERSION:
            raise InputError(
                f"Expected version {VERSION} in {path}, but got {content.get('version')!r}: "
                "read it with the version of mis_lightning that wrote it."
            )
        return content

    def clear(self) -> None:
        """Remove everything, the state first."""
        if self.folder.is_dir():
            (self.folder / _STATE).unlink(missing_ok=True)
            for path in self.folder.iterdir():
                path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        with written_whole(self.folder / name) as temporary:
            temporary.write_bytes(data)

"""The windows that a tab shows volumes with: which values become black and white."""

from __future__ import annotations

import json
from pathlib import Path

from mis_lightning.files import written_whole
from mis_lightning.server.library import Entry

Window = tuple[float, float]
"""``(low, high)`` in the units of the volume."""
_NAME = "windows"  # no JSON by its name: it is no draft


class Windows:
    """Those that a tab has chosen, kept in its folder; none where that file is damaged.

    Args:
        folder: Of the tab.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _NAME
        try:
            found = json.loads(self._file.read_bytes())
            self._chosen = {str(name): (float(low), float(high)) for name, (low, high) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._chosen = {}

    def of(self, entry: Entry) -> Window | None:
        """The window of the volume that an image is a slice of; ``None``: the default, or no slice."""
        return None if entry.volume is None else self._chosen.get(entry.volume)

    def set(self, entry: Entry, window: Window | None) -> None:
        """Choose a window for the volume of a slice; ``None``: the default.

        Raises:
            OSError: It cannot be written; nothing changes.
        """
        chosen = {name: one for name, one in self._chosen.items() if name != entry.volume}
        if window is not None and entry.volume is not None:
            chosen[entry.volume] = window
        with written_whole(self._file) as temporary:
            temporary.write_text(json.dumps(chosen), encoding="utf-8")
        self._chosen = chosen

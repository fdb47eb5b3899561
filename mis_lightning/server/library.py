"""The images of one folder: the list, their pixels, thumbnails and pictures.

A request names an image by a digest of its path inside the folder. The digest is looked up among the images
found there, so no text from a request ever becomes a path. Each slice of a volume is an image.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mis_lightning.annotation.log import is_plain
from mis_lightning.annotation.store import LONGEST_NAME
from mis_lightning.errors import ImageError, InputError
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.volume_files import SUFFIXES, is_volume, open_slices, slice_key
from mis_lightning.formats.volume_slices import VolumeSlices
from mis_lightning.images import IMAGE_SUFFIXES, ReadImage, Reading, common_folder, list_images

THUMBNAIL = 160
"""Longer side of a thumbnail, in pixels."""
MAX_PICTURE = 4096
"""Longer side of the picture that the page shows; larger images are scaled down for it, not for the model."""
MAX_PIXELS = 64_000_000
"""Largest image opened, in pixels."""
_PIXEL_MEMORY = 256 << 20
_PICTURE_MEMORY = 64 << 20


@dataclass(frozen=True)
class Entry:
    """One image of the folder.

    Attributes:
        key: What a request calls it.
        name: Its path inside the folder, with ``/``.
        path: Where it lies, links resolved.
        slice: Which slice of a volume it is; ``None``: it is no slice.
    """

    key: str
    name: str
    path: Path
    slice: int | None = None

    @property
    def volume(self) -> str | None:
        """What the volume that it is a slice of is called; ``None``: it is no slice."""
        return None if self.slice is None else self.name.rpartition("#")[0]


class Library:
    """The images of a folder, a list or a file, as :func:`~mis_lightning.images.list_images` finds them.

    Volumes are found beside them; slice 12 of ``ct.nii.gz`` is called ``ct.nii.gz#axial-12``, as by
    ``mis predict``.

    A link that leads out of the folder is not followed. A list may name files anywhere: it was written by
    whoever started the server.

    Args:
        source: The folder, list or image.
        leave_out: Folders and files that are not listed: where masks go, and come from.
        reading: How pixels deeper than 8 bits become bytes, and which channels count.
        axis: Across which volumes are cut.

    Attributes:
        left_out: Why a file is not shown, by its path.

    Raises:
        DatasetNotFoundError: There is no image.
    """

    def __init__(
        self,
        source: Path,
        leave_out: Path | Sequence[Path] = (),
        reading: Reading | None = None,
        axis: Axis = "axial",
    ) -> None:
        self.source = source
        self._axis: Axis = axis
        self._volumes: dict[Path, tuple[tuple[int, int], VolumeSlices]] = {}  # with the state of the file
        self._reading_volume = threading.Lock()  # nibabel's files are not for several threads
        self._leave_out = [leave_out] if isinstance(leave_out, Path) else list(leave_out)
        self._reading = reading if reading is not None else Reading()
        self._entries: dict[str, Entry] = {}
        self._pixels: _Cache[ReadImage] = _Cache(_PIXEL_MEMORY, lambda image: image.rgb.nbytes)
        self._pictures: _Cache[bytes] = _Cache(_PICTURE_MEMORY, len)
        self.left_out: dict[Path, str] = {}
        self.refresh()

    def refresh(self) -> list[Entry]:
        """Look for new files; return the images in order."""
        paths = list_images(self.source, (*IMAGE_SUFFIXES, *SUFFIXES))
        is_folder = self.source.is_dir()
        root = self.source.resolve() if is_folder else common_folder([path.resolve() for path in paths])
        entries, left_out = {}, {}
        elsewhere = {folder.resolve() for folder in self._leave_out}
        for path in paths:
            real = path.resolve()
            if not elsewhere.isdisjoint((real, *real.parents)):
                continue
            shown = path.relative_to(self.source) if is_folder else real.relative_to(root)
            name = shown.as_posix()
            if not real.is_relative_to(root):
                left_out[path] = "a link that leads out of the folder"
                continue
            if not is_plain(name) or "\\" in name:
                left_out[path] = "a name that no mask file can have"
                continue
            for number, one in self._names(real, name, path, left_out):
                if len(os.fsencode(f"{one.rpartition('/')[2]}.json")) > LONGEST_NAME:
                    left_out[path] = "a name too long for a mask file: shorten it"
                    break
                key = hashlib.blake2b(one.encode(), digest_size=8).hexdigest()
                entries[key] = Entry(key, one, real, number)
        self._entries, self.left_out = entries, left_out
        return list(entries.values())

    def _names(
        self, real: Path, name: str, path: Path, left_out: dict[Path, str]
    ) -> list[tuple[int | None, str]]:
        """The image of a file, or the slices of a volume, in order."""
        if not is_volume(real):
            return [(None, name)]
        try:
            return [(k, slice_key(name, self._axis, k)) for k in range(len(self._volume(real)))]
        except InputError as error:
            left_out[path] = str(error)
            return []

    def _volume(self, path: Path) -> VolumeSlices:
        """A volume, opened once for each state of its file."""
        stamp = _stamp(path)
        if path not in self._volumes or self._volumes[path][0] != stamp:
            self._volumes[path] = stamp, open_slices(path, self._axis, self._reading)
        return self._volumes[path][1]

    def volumes(self) -> dict[str, Path]:
        """Where the volumes are, by what their slices are called before the ``#``."""
        return {e.volume: e.path for e in self._entries.values() if e.volume is not None}

    def slices_of(self, entry: Entry) -> list[Entry]:
        """The slices of the volume that a slice is of, in order."""
        slices = [one for one in self._entries.values() if one.slice is not None and one.path == entry.path]
        return sorted(slices, key=lambda one: one.slice or 0)

    def __getitem__(self, key: str) -> Entry:
        """The image of a key.

        Raises:
            KeyError: There is none.
        """
        return self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)

    def windows(self, entry: Entry) -> tuple[tuple[float, float], tuple[float, float]]:
        """The window that slices of a volume are shown with by default, and the range of their values.

        Raises:
            ImageError: The volume cannot be read.
        """
        with self._reading_volume:
            volume = self._volume(entry.path)
            return volume.window, volume.range

    def read(self, entry: Entry, window: tuple[float, float] | None = None) -> ReadImage:
        """An image; its pixels are not to be written to.

        Args:
            entry: The image.
            window: Of a slice, in place of the window that was given for all images.

        Raises:
            ImageError: It cannot be read, is too large, or is no longer where it was.
        """

        def make() -> ReadImage:
            self._check(entry)
            read = self._decode(entry, window)
            image = read.rgb
            if image.shape[0] * image.shape[1] > MAX_PIXELS:  # of a kind that Pillow cannot measure
                raise _too_large(entry, image.shape[1], image.shape[0])
            image.flags.writeable = False
            return read

        return self._pixels.get((entry.key, window, *_stamp(entry.path)), make)

    def state(self, entry: Entry) -> tuple[int, int]:
        """Changes when the file of an image does.

        Raises:
            ImageError: It is no longer where it was.
        """
        return _stamp(entry.path)

    def picture(self, entry: Entry, window: tuple[float, float] | None = None) -> bytes:
        """What the page shows of an image, JPEG, at most ``MAX_PICTURE`` pixels a side.

        Raises:
            ImageError: As :meth:`read`.
        """
        stamp = ("picture", entry.key, window, *_stamp(entry.path))
        return self._pictures.get(
            stamp, lambda: _jpeg(_within(self.read(entry, window).rgb, MAX_PICTURE), 92)
        )

    def thumbnail(self, entry: Entry) -> bytes:
        """A small JPEG of an image.

        Raises:
            ImageError: As :meth:`read`.
        """

        def make() -> bytes:
            self._check(entry)
            image = _draft(entry.path) if entry.slice is None else None
            return _jpeg(_within(self._decode(entry).rgb if image is None else image, THUMBNAIL), 80)

        return self._pictures.get(("thumbnail", entry.key, *_stamp(entry.path)), make)

    def _decode(self, entry: Entry, window: tuple[float, float] | None = None) -> ReadImage:
        if entry.slice is None:
            return self._reading.read(entry.path)
        reading = self._reading if window is None else replace(self._reading, window=window)
        with self._reading_volume:
            return self._volume(entry.path).read(entry.slice, reading)

    def _check(self, entry: Entry) -> None:
        """Refuse an image that was replaced by a link since it was listed, or that is too large to decode."""
        if os.path.realpath(entry.path) != str(entry.path):
            raise ImageError(f"{entry.name} has become a link since it was listed. Load the page again.")
        if entry.slice is not None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
                with Image.open(entry.path) as image:  # reads the head alone
                    size = image.size
        except Image.DecompressionBombError:
            raise _too_large(entry) from None
        except Exception:
            return  # read_image says what is wrong with it, or reads it by other means
        if size[0] * size[1] > MAX_PIXELS:
            raise _too_large(entry, *size)


V = TypeVar("V")


class _Cache(Generic[V]):
    """Least-recently-used cache bounded in bytes; thread-safe."""

    def __init__(self, limit: int, size: Callable[[V], int]) -> None:
        self._limit, self._size = limit, size
        self._values: OrderedDict[object, V] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], V]) -> V:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()  # two threads may both make it; that costs time, not correctness
        with self._lock:
            if key not in self._values and self._size(value) <= self._limit:
                self._values[key] = value
                self._used += self._size(value)
            while self._used > self._limit:
                self._used -= self._size(self._values.popitem(last=False)[1])
        return value


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        raise ImageError(f"There is no image file {path.name} any more. Load the page again.") from None
    return status.st_mtime_ns, status.st_size


def _draft(path: Path) -> NDArray[np.uint8] | None:
    """A JPEG decoded at a fraction of its size, in a fraction of the time; ``None`` for all other files."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.mode != "RGB":
                return None
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            return np.asarray(ImageOps.exif_transpose(image))
    except Exception:
        return None


def _within(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scaled down until its longer side fits."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV did not write a JPEG.")
    return data.tobytes()


def _too_large(entry: Entry, width: int = 0, height: int = 0) -> ImageError:
    size = f"{width} x {height} = {width * height / 1e6:.0f}" if width else "too many"
    return ImageError(
        f"{entry.name} has {size} million pixels; the page opens up to {MAX_PIXELS // 1_000_000} million. "
        "Scale it down or cut it into tiles."
    )

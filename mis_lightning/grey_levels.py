"""Arrays of any depth -> RGB bytes: the one place where pixels are rescaled."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError, Note


def to_rgb(
    array: NDArray[Any],
    window: tuple[float, float] | None = None,
    percentile: tuple[float, float] = (0.5, 99.5),
    channels: Sequence[int] | None = None,
    nodata: float | None = None,
) -> NDArray[np.uint8]:
    """Turn any image array into RGB bytes: the only rescaling of pixels in the package.

    uint8 passes untouched unless ``window`` is given, bool becomes 0 and 255, every other number is mapped
    linearly from ``[low, high]`` to 0..255 and clipped. ``low`` and ``high`` are the window, or else the two
    percentiles of the finite values, so that a few hot or dead pixels do not set the scale. If both
    percentiles coincide (an almost constant image) the smallest and largest value are used; a constant image
    becomes black. The percentiles are taken over all channels together, which keeps hues; with ``channels``
    each channel gets its own, because chosen channels of a stack are unlike quantities. NaN becomes 0,
    infinities the end of the scale on their side. What stands for no data (``nodata``) is left out of the
    percentiles and becomes 0; in uint8, which is not scaled, only where all channels hold it.

    Args:
        array: bool, integer or float. ``(H, W)`` or ``(H, W, 1)`` is grey; ``(H, W, 2)`` grey and a second
            channel that is dropped (alpha); ``(H, W, 3)`` RGB; ``(H, W, 4)`` RGB and a fourth channel that is
            dropped (alpha, infrared); ``(H, W, N)`` with ``channels``.
        window: ``(low, high)`` in the units of the array, e.g. ``(-160, 240)`` Hounsfield units.
        percentile: Lower and upper percentile in ``[0, 100]``; read only without ``window``.
        channels: One index (shown grey) or three (red, green, blue) into the last axis.
        nodata: Value of pixels that hold none, such as -9999 in a GeoTIFF; ``None`` without one.

    Returns:
        uint8 ``(H, W, 3)``, C-contiguous; it may share its memory with ``array``.

    Raises:
        InputError: A shape, dtype, window, percentile or channel that does not fit.

    >>> to_rgb(np.array([[0, 1000, 2000]], dtype=np.uint16), window=(0, 2000))[0, :, 0].tolist()
    [0, 128, 255]
    """
    scaled: NDArray[Any]
    planes = _pick_channels(np.asarray(array), channels)
    if planes.dtype == np.bool_:
        scaled = planes.astype(np.uint8) * np.uint8(255)
    elif planes.dtype == np.uint8 and window is None:
        scaled = planes
        holes = _equals(planes, nodata).all(axis=2, keepdims=True)
        if holes.any():
            _say_holes()
            scaled = np.where(holes, np.uint8(0), planes)
    elif np.issubdtype(planes.dtype, np.integer) or np.issubdtype(planes.dtype, np.floating):
        groups = [planes] if channels is None else [planes[..., i : i + 1] for i in range(planes.shape[2])]
        scaled = np.concatenate([_stretch(group, window, percentile, nodata) for group in groups], axis=2)
    else:
        raise InputError(f"Expected an image of bool, integer or float values, but got dtype {planes.dtype}.")
    return np.ascontiguousarray(np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled)


def value_range(numbers: NDArray[Any], percentile: tuple[float, float] = (0.5, 99.5)) -> tuple[float, float]:
    """The values that :func:`to_rgb` makes black and white where no window is given.

    Args:
        numbers: Integer or float, of any shape.
        percentile: As in :func:`to_rgb`.

    Returns:
        The two percentiles of the finite values; where they coincide, the smallest and largest value.

    Raises:
        InputError: The percentiles are out of order, or no value is finite.
    """
    if not 0 <= percentile[0] < percentile[1] <= 100:
        raise InputError(
            f"Expected `percentile` = (low, high) with 0 <= low < high <= 100, but got {percentile}."
        )
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        raise InputError("The image holds no finite value (all are NaN, infinite or declared as no data).")
    low, high = (float(limit) for limit in np.percentile(finite, percentile))
    return (low, high) if low < high else (float(finite.min()), float(finite.max()))


def _pick_channels(array: NDArray[Any], channels: Sequence[int] | None) -> NDArray[Any]:
    """Reduce to ``(H, W, 1)`` or ``(H, W, 3)``."""
    planes = array[..., np.newaxis] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"Expected an image of shape (H, W) or (H, W, channels), but got {array.shape}.")
    count = planes.shape[2]
    if channels is not None:
        if len(channels) not in (1, 3) or not all(0 <= index < count for index in channels):
            raise InputError(
                f"Expected `channels` to name 1 or 3 of the channels 0..{count - 1}, "
                f"but got {tuple(channels)}."
            )
        return planes[..., list(channels)]
    if count > 4:
        raise InputError(
            f"An image of shape {array.shape} has {count} channels on its last axis. Name one or three, "
            "e.g. channels=(0, 1, 2); if the channels come first, move them: np.moveaxis(array, 0, -1)."
        )
    return planes[..., : 3 if count >= 3 else 1]


def _stretch(
    values: NDArray[Any],
    window: tuple[float, float] | None,
    percentile: tuple[float, float],
    nodata: float | None,
) -> NDArray[np.uint8]:
    # float32 is exact for 16-bit integers and halves the memory; everything else needs float64.
    numbers: NDArray[Any] = values.astype(
        np.float32 if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 else np.float64
    )
    holes = _equals(values, nodata) | np.isnan(numbers)
    if holes.any():
        _say_holes()
        numbers[holes] = np.nan
    low, high = value_range(numbers, percentile) if window is None else (float(window[0]), float(window[1]))
    if window is not None and not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"Expected `window` = (low, high) with low < high, but got {window}.")
    if high == low:
        return np.zeros(values.shape, dtype=np.uint8)
    np.clip(numbers, low, high, out=numbers)  # also brings infinities to the ends
    numbers -= low
    numbers *= 255.0  # before the division: whole numbers stay exact, so that every dtype rounds alike
    numbers /= high - low
    np.nan_to_num(numbers, copy=False, nan=0.0)
    scaled: NDArray[np.uint8] = np.rint(numbers).astype(np.uint8)
    return scaled


def _equals(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Where the values stand for no data. Huge ones are often written with fewer digits than they have."""
    if nodata is None or np.isnan(nodata):
        return np.zeros(values.shape, np.bool_)
    if values.dtype.kind == "f":
        if abs(nodata) > 1e30:
            return np.asarray(values * np.sign(nodata) >= abs(nodata) * (1 - 1e-5))
        return np.asarray(values == values.dtype.type(nodata))
    return np.asarray(values == nodata)


_HOLES_SAID = mmap.mmap(-1, 1)  # one byte that this process and the workers it forks share


def _say_holes() -> None:
    """Say once, in whichever process comes first, how pixels without data are shown."""
    if _HOLES_SAID[0] == 0:
        _HOLES_SAID[0] = 1
        warnings.warn(
            "Pixels without data (NaN, or the value that a GeoTIFF declares) are left out of the grey levels "
            "and shown black.",
            Note,
            stacklevel=2,
        )

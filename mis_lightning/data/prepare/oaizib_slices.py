"""OAI-ZIB volumes -> the 150 test slices, by the published rule.

Rule: docs/protocol.md#oai-zib-slices.
"""

from __future__ import annotations

import locale
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, Note

PATIENTS = 507
TEST_PATIENTS = 50
SLICES = (40, 80, 120)
FEMORAL, TIBIAL = 2, 4
LEVELS = {FEMORAL: 128, TIBIAL: 255}
SMALLEST_CARTILAGE = 20
"""A slice is kept if it has more cartilage pixels than this."""


def convert_oaizib(volumes: Path, mri: Path, target: Path, *, allow_incomplete: bool = False) -> int:
    """Cut the test slices.

    ::

        volumes/                                mri/
        ├── doc/oai_mri_paths.txt               ├── 0.C.2/<patient>/<date>/<series>/   DICOM files
        └── segmentation_masks/                 └── 0.E.1/...
            ├── <patient>.segmentation_masks.mhd
            └── <patient>.segmentation_masks.raw

    Args:
        volumes: The OAI-ZIB folder, as drawn or with ``segmentation/`` in between.
        mri: The MR images; instead of the drawn path also ``<patient>/`` with the DICOM files in it.
        target: Folder that gets ``test/image`` and ``test/annotations``.
        allow_incomplete: Leave out patients whose files are missing, with a warning.

    Returns:
        Number of slices written.

    Raises:
        InputError: SimpleITK is not installed.
        DatasetNotFoundError: Files are missing.
        ImageError: A volume cannot be read or does not fit its mask.
    """
    _simpleitk()
    folder = next((place for place in (volumes, volumes / "segmentation") if (place / "doc").is_dir()), None)
    if folder is None or not (folder / "doc" / "oai_mri_paths.txt").is_file():
        raise DatasetNotFoundError(
            f"Expected doc/oai_mri_paths.txt and segmentation_masks/ in {volumes} or in its folder "
            "segmentation/. Download the OAI-ZIB segmentations from https://pubdata.zib.de"
        )
    paths = read_paths(folder / "doc" / "oai_mri_paths.txt")
    found, missing = {}, []
    for patient in select_test_patients(list(paths)):
        mask = folder / "segmentation_masks" / f"{patient}.segmentation_masks.mhd"
        series = next((place for place in (mri / paths[patient], mri / patient) if place.is_dir()), None)
        if mask.is_file() and series is not None:
            found[patient] = (series, mask)
        else:
            missing.append(str(mri / paths[patient] if mask.is_file() else mask))
    if missing:
        report = f"{len(missing)} of the {TEST_PATIENTS} test patients lack files, the first is {missing[0]}."
        if not (allow_incomplete and found):
            raise DatasetNotFoundError(f"{report} Get them, or pass --allow-incomplete to cut what is there.")
        warnings.warn(f"{report} They are left out.", Note, stacklevel=2)
    from tqdm import tqdm

    bar = tqdm(found.items(), desc="OAIZIB: cutting slices", unit="volume", disable=None)
    return sum(_cut(patient, series, mask, target / "test") for patient, (series, mask) in bar)


def read_paths(file: Path) -> dict[str, str]:
    """Read ``oai_mri_paths.txt``: lines ``<patient>: <path in the OAI database>``.

    Args:
        file: The file.

    Returns:
        Path by patient, in the order of the file.

    Raises:
        DatasetNotFoundError: It does not list 507 patients.
    """
    lines = [line.split(":", 1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    paths = {parts[0].strip(): parts[-1].strip().strip("/") for parts in lines}
    if len(paths) != PATIENTS:
        raise DatasetNotFoundError(
            f"Expected {PATIENTS} patients in {file}, but found {len(paths)}: which are the test patients "
            "depends on the whole list. Take the file of the folder segmentation/, not of classification/."
        )
    return paths


def select_test_patients(patients: list[str]) -> list[str]:
    """Draw the published test patients: one shuffle by Python's generator of seed 0, the last 50, ascending.

    Args:
        patients: All 507 in the order of ``oai_mri_paths.txt``.
    """
    shuffled = list(patients)
    random.Random(0).shuffle(shuffled)
    return sorted(shuffled[-TEST_PATIENTS:])


def align_mask(mask: NDArray[Any]) -> NDArray[Any]:
    """Turn a mask volume into the axes of its image: permute by (2, 0, 1), then flip the first two.

    Args:
        mask: As stored, ``(rows, cols, slices)``.

    Returns:
        A view ``(slices, rows, cols)``.
    """
    aligned: NDArray[Any] = mask.transpose(2, 0, 1)[::-1, ::-1]
    return aligned


def _cut(patient: str, series: Path, mask_file: Path, target: Path) -> int:
    image, mask = _read_series(series), align_mask(_read_mask(mask_file))
    if image.shape != mask.shape:
        raise ImageError(
            f"The mask {mask_file} has the shape {mask.shape} (slices, rows, columns), but its image "
            f"{series} has {image.shape}. Replace one of the two."
        )
    if len(image) <= max(SLICES):
        raise ImageError(f"Expected more than {max(SLICES)} slices in {series}, but found {len(image)}.")
    for folder in ("image", "annotations"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    written = 0
    for index in SLICES:
        levels = np.zeros(mask.shape[1:], dtype=np.uint8)
        for label, level in LEVELS.items():
            levels[mask[index] == label] = level
        if np.count_nonzero(levels) <= SMALLEST_CARTILAGE:
            continue
        grey = np.clip(image[index], 0, 255).astype(np.uint8)  # no window: the published slices clamp
        for folder, pixels in (("image", grey), ("annotations", levels)):
            Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(target / folder / f"{patient}_{index}.png")
        written += 1
    return written


def _read_series(folder: Path) -> NDArray[Any]:
    sitk = _simpleitk()
    try:
        with locale_kept():
            reader = sitk.ImageSeriesReader()
            series = reader.GetGDCMSeriesIDs(str(folder))
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series[0]))
            return np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except (RuntimeError, IndexError) as error:
        raise ImageError(
            f"Could not read a DICOM series in {folder} ({error}). Download it again."
        ) from error


def _read_mask(file: Path) -> NDArray[Any]:
    sitk = _simpleitk()
    try:
        with locale_kept():
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(file))))
    except RuntimeError as error:
        raise ImageError(f"Could not read the mask volume {file} ({error}). Download it again.") from error


@contextmanager
def locale_kept() -> Iterator[None]:
    """Put the locale of the process back: GDCM, in SimpleITK, leaves that of C behind, which is ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise InputError(
            'Reading OAI-ZIB volumes needs SimpleITK: pip install "mis-lightning[medical]"'
        ) from None
    return SimpleITK

"""``mis prepare``: prepare one of the six benchmarks, or verify that it is complete."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

from mis_lightning.console import counted
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.data.prepare.brats_slices import convert_brats
from mis_lightning.data.prepare.download import fetch_any, unpack
from mis_lightning.data.prepare.oaizib_slices import convert_oaizib
from mis_lightning.data.prepare.sources import ARCHIVES, STEPS
from mis_lightning.data.sbd import training_names
from mis_lightning.errors import DatasetNotFoundError, InputError

# Messages about benchmarks end by sending the reader to this very command.
_REMEDY = " Run `mis prepare"


def main(argv: Sequence[str]) -> int:
    """Run ``mis prepare``.

    Args:
        argv: The words after ``mis prepare``.

    Returns:
        0 if the benchmark is there and complete, 1 if something is left to do, which is then printed.

    Raises:
        InputError: Volumes that cannot be converted, a damaged archive or a benchmark's unreadable file.
    """
    options = _parser().parse_args(argv)
    name, root = options.name, options.root.expanduser()
    # With volumes at hand an incomplete folder is work to do, not something to accept.
    report = _verify(name, root, options.allow_incomplete and options.volumes is None)
    if report is None:
        if options.volumes is not None:
            print(f"{name} is there already: --volumes was not read.")
        return 0
    print(report)
    if options.volumes is not None:
        _convert(options, root)
    elif name in ARCHIVES and not options.no_download:
        try:
            _download(name, root)
        except DatasetNotFoundError as error:
            print(error)
            _print_steps(name, root)
            return 1
    else:
        _print_steps(name, root)
        return 1
    report = _verify(name, root, options.allow_incomplete)
    if report is not None:
        print(report)
        _print_steps(name, root)
    return 0 if report is None else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mis prepare",
        description="Verify that a benchmark is complete; otherwise download it, convert it from its "
        "original volumes, or say step by step how to get it.",
    )
    parser.add_argument("name", type=_name, choices=list(BENCHMARKS), help="the benchmark")
    parser.add_argument(
        "--root", type=Path, required=True, help="folder of the benchmark; created if it is missing"
    )
    parser.add_argument("--volumes", type=Path, help="BraTS, OAIZIB: original volumes to cut slices from")
    parser.add_argument(
        "--mri", type=Path, help="OAIZIB: MR images of the OAI (default: the folder of --volumes)"
    )
    parser.add_argument("--allow-incomplete", action="store_true", help="accept fewer images than published")
    parser.add_argument("--no-download", action="store_true", help="only verify and print what to do")
    return parser


def _name(text: str) -> str:
    """Accept any case, and OAI-ZIB for OAIZIB."""
    by_key = {name.lower(): name for name in BENCHMARKS}
    return by_key.get(text.lower().replace("-", ""), text)


def _verify(name: str, root: Path, allow_incomplete: bool) -> str | None:
    """Print what is there and return ``None``, or return what is missing."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            benchmark = BENCHMARKS[name](root, allow_incomplete=allow_incomplete)
    except DatasetNotFoundError as error:
        return str(error).partition(_REMEDY)[0]
    remarks = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    for remark in remarks:
        print(remark)
    folder: Path = benchmark.folder  # type: ignore[attr-defined]  # the six of BENCHMARKS have one
    benchmark[0]  # one sample proves that files can be read
    state = "incomplete" if remarks else "complete"
    print(f"{name}: {state}, {counted(len(benchmark), 'object')} in {folder}.")
    if not benchmark.comparable:
        print("Numbers on this copy are not comparable with published ones.")
    if name == "SBD":
        _describe_training_list(folder)
    return None


def _describe_training_list(folder: Path) -> None:
    try:
        print(f"SBD: complete, {len(training_names(folder))} photographs of train.txt for training.")
    except DatasetNotFoundError as error:
        print(f"Not for training: {str(error).partition(_REMEDY)[0]}")


def _convert(options: argparse.Namespace, root: Path) -> None:
    if options.name == "BraTS":
        target = root / "BraTS20"
        count = convert_brats(options.volumes, target, allow_incomplete=options.allow_incomplete)
    elif options.name == "OAIZIB":
        target = root / "OAI-ZIB"
        mri = options.mri or options.volumes
        count = convert_oaizib(options.volumes, mri, target, allow_incomplete=options.allow_incomplete)
    else:
        raise InputError(f"{options.name} has no volumes: leave --volumes out.")
    print(f"Wrote {counted(count, 'slice')} to {target}.")


def _download(name: str, root: Path) -> None:
    archive, target = ARCHIVES[name], root / name
    if target.exists() or _is_partly_there(name, root):
        raise DatasetNotFoundError(
            f"There is an incomplete {name} in {root}, and nothing is overwritten: move it away to download "
            "it afresh."
        )
    file = root / "downloads" / archive.urls[0].rsplit("/", 1)[-1]
    print(f"Downloading {archive.urls[0]} ({archive.size}) to {file}.")
    fetch_any(archive.urls, file, archive.digest)
    print(f"Unpacking to {target}.")
    unpack(file, target, archive.folders)
    print(f"{file} is no longer needed.")


def _is_partly_there(name: str, root: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            BENCHMARKS[name](root, allow_incomplete=True)
    except DatasetNotFoundError:
        return False
    return True


def _print_steps(name: str, root: Path) -> None:
    print(f"\nHow to get {name}:\n{STEPS[name].format(root=root)}")

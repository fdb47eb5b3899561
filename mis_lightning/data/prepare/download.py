"""Downloading an archive from one of its mirrors, with resume and digest, and unpacking it in one go.

None of the libraries installed anyway resumes a download: pooch and torchvision start over.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from mis_lightning.errors import DatasetNotFoundError

_BLOCK = 1 << 20
_TIMEOUT = 60.0
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


def fetch(url: str, target: Path, digest: str | None) -> Path:
    """Download a file, continuing an interrupted download.

    What has arrived is kept in ``<target>.part``. Where no digest is known, the SHA-256 of the first download
    is written to ``<target>.sha256`` (the format of ``sha256sum``), and later downloads must match it.

    Args:
        url: ``http``, ``https`` or ``file`` address.
        target: Where the file shall lie; if it is there already, it is only verified.
        digest: ``"md5:..."`` or ``"sha256:..."``, or ``None`` if none is published.

    Returns:
        ``target``.

    Raises:
        DatasetNotFoundError: The address cannot be reached, or the digest differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if not target.exists():
        try:
            _continue(url, part)
        except (URLError, OSError) as error:
            raise DatasetNotFoundError(
                f"Could not download {url} ({error}). Run the command again to continue where it stopped, or "
                f"get the file by other means and put it at {target}."
            ) from None
        part.replace(target)
    _verify(target, digest, url)
    return target


def fetch_any(urls: Sequence[str], target: Path, digest: str | None) -> Path:
    """Download a file from the first of its mirrors that has it whole; see :func:`fetch`.

    Args:
        urls: Addresses of the same file, at least one.
        target: Where the file shall lie.
        digest: As of :func:`fetch`. A mirror whose file does not match it is passed over.

    Raises:
        DatasetNotFoundError: No mirror gave it; the message has what each of them answered.
    """
    given, problems = target.exists(), []
    for url in urls:
        try:
            return fetch(url, target, digest)
        except DatasetNotFoundError as error:
            problems.append(str(error))
            if not given:  # what this mirror gave is not the file
                target.unlink(missing_ok=True)
    raise DatasetNotFoundError("\n".join(problems))


def unpack(archive: Path, target: Path, folders: Sequence[str] = ()) -> Path:
    """Unpack an archive into a new folder, all or nothing.

    Args:
        archive: ``.zip``, ``.tgz`` or ``.tar.gz``.
        target: The folder to make; a single top folder of the archive becomes this folder.
        folders: Only members below these folders of the archive; empty: all.

    Returns:
        ``target``.

    Raises:
        DatasetNotFoundError: ``target`` exists already, or the archive is damaged.
    """
    if target.exists():
        raise DatasetNotFoundError(
            f"{target} exists already, and nothing is overwritten. Move it away and run the command again."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target.parent) as place:
        try:
            if archive.suffix == ".zip":
                _unzip(archive, Path(place), folders)
            else:
                _untar(archive, Path(place), folders)
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
            raise DatasetNotFoundError(
                f"The archive {archive} is damaged ({error}). Delete it and run the command again."
            ) from error
        content = [path for path in Path(place).iterdir() if path.name != "__MACOSX"]
        top = content[0] if len(content) == 1 and content[0].is_dir() else Path(place)
        if top == Path(place):
            target.mkdir()
            for path in content:
                shutil.move(path, target / path.name)
        else:
            shutil.move(top, target)
    return target


def _continue(url: str, part: Path) -> None:
    """Append to ``part`` whatever of ``url`` it lacks."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(
        url, headers={"User-Agent": "mis-lightning", **({"Range": f"bytes={have}-"} if have else {})}
    )
    try:
        answer = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if have and error.code == _RANGE_NOT_SATISFIABLE:
            return  # everything is there; the digest decides
        raise
    from tqdm import tqdm

    with answer:
        resumed = getattr(answer, "status", None) == _PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        start = have if resumed else 0
        total = int(length) + start if length else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection closed after {part.stat().st_size} of {total} bytes")


def _verify(target: Path, digest: str | None, url: str) -> None:
    record = target.with_name(target.name + ".sha256")
    known = digest
    if known is None and record.exists():
        known = f"sha256:{record.read_text(encoding='utf-8').split()[0]}"
    kind, expected = known.split(":", 1) if known else ("sha256", None)
    found = _digest(target, kind)
    if expected is None:
        record.write_text(f"{found}  {target.name}\n", encoding="utf-8")
        print(f"No digest of {target.name} is published: recorded its SHA-256 {found} in {record}.")
    elif found != expected:
        raise DatasetNotFoundError(
            f"{target} has the {kind} digest {found}, but {expected} was expected: it is damaged or not the "
            f"file that {url} once gave. Delete it and run the command again."
        )


def _digest(path: Path, kind: str) -> str:
    state = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _unzip(archive: Path, place: Path, folders: Sequence[str]) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(place, [name for name in file.namelist() if _wanted(name, folders)])


def _untar(archive: Path, place: Path, folders: Sequence[str]) -> None:
    with tarfile.open(archive) as file:
        file.extractall(place, (member for member in file if _wanted(member.name, folders)), filter="data")


def _wanted(name: str, folders: Sequence[str]) -> bool:
    name = name.removeprefix("./")
    return not folders or any(name == folder or name.startswith(f"{folder}/") for folder in folders)

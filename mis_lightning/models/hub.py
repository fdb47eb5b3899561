"""Click models on the hub: a name becomes a folder in the cache, of safetensors and JSON and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from mis_lightning.errors import InputError
from mis_lightning.features.hub_problem import hub_problem

PREFIX = "hf-hub:"
FILES = ("config.json", "model.safetensors")
"""All that is ever fetched; weights in another format are not looked at."""

NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
"""``owner/name``."""

_AT = re.compile(rf"(?P<repository>{NAME.pattern})(@(?P<revision>[\w./-]+))?", re.ASCII)
_FILE = re.compile(r".*\.(ckpt|pth?|safetensors|onnx|bin)")


def local_copy(source: str | Path) -> Path:
    """Where a model lies on this machine; one from the hub is fetched into the cache first.

    Args:
        source: A path, which is returned as it is; ``hf-hub:owner/name`` or ``hf-hub:owner/name@revision``;
            or ``owner/name`` where nothing lies at this path and it is no name of a weights file.

    Returns:
        The path, or the folder in the cache of ``huggingface_hub`` (``HF_HOME`` moves it). With
        ``HF_HUB_OFFLINE=1`` only the cache is asked.

    Raises:
        InputError: The hub has no such model, or cannot be reached and the cache does not hold it.
    """
    text = str(source)
    name = text.removeprefix(PREFIX)
    named = _AT.fullmatch(name)
    if text.startswith(PREFIX):
        if named is None:
            raise InputError(f"Expected {PREFIX}owner/name or {PREFIX}owner/name@revision, but got {text}.")
    elif named is None or _FILE.fullmatch(name) or Path(source).exists():
        return Path(source)
    return _fetch(named["repository"], named["revision"])


def _fetch(repository: str, revision: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    address = f"{constants.ENDPOINT}/{repository}"
    unreachable = hub_problem(repository, revision)  # the cache may have it all the same
    if isinstance(unreachable, (RepositoryNotFoundError, RevisionNotFoundError)):
        raise InputError(
            f"There is nothing at the path {repository}, and the hub shows no such model "
            f"({type(unreachable).__name__} at {address}). Check name and revision; a private or gated model "
            "needs `hf auth login`."
        ) from unreachable
    try:
        offline = unreachable is not None
        folder = ""
        for file in FILES:  # all of one commit, whose hash is the name of the folder
            path = hf_hub_download(repository, file, revision=folder or revision, local_files_only=offline)
            folder = Path(path).parent.name
    except Exception as error:
        if isinstance(error, EntryNotFoundError) and not offline:
            raise InputError(
                f"{address} does not hold {' and '.join(FILES)}: it is not a model of this project. No "
                "other file is read, least of all a pickle."
            ) from error
        raise InputError(
            f"There is nothing at the path {repository}, and the model of this name could not be fetched "
            f"from the hub ({type(unreachable or error).__name__}). On a machine with network access, fetch "
            f"{' and '.join(FILES)} from {address}, put both into one folder on this machine and name that "
            "folder instead."
        ) from error
    return Path(path).parent

"""A model folder with its card, and its upload to the hub.

Not through ``huggingface_hub.PyTorchModelHubMixin``: it would give every click model a second
``save_pretrained`` and ``from_pretrained`` with a config of another form, which knows one class instead of
the ``architecture`` in ``config.json``, silently accepts weights that do not fit, and falls back to a
pickle where there is no safetensors file.
"""

from __future__ import annotations

from pathlib import Path

from mis_lightning.errors import InputError
from mis_lightning.export.model_card import CardFacts, model_card
from mis_lightning.files import written_whole
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.hub import FILES, NAME
from mis_lightning.models.pretrained import save_pretrained

CARD = "README.md"


def check_name(name: str) -> None:
    """Check the name of a model on the hub.

    Raises:
        InputError: It is not ``owner/name``.
    """
    if NAME.fullmatch(name) is None:
        raise InputError(f"Expected owner/name of letters, digits, '-', '_' and '.', but got {name!r}.")


def stage(model: ClickNetwork, folder: Path, name: str, facts: CardFacts) -> Path:
    """Write what belongs on the hub and nothing else: weights, ``config.json``, the card as ``README.md``.

    Args:
        model: The model.
        folder: Empty, missing, or holding an earlier version of these files.
        name: ``owner/name``, as the card shows it.
        facts: What the card says.

    Returns:
        ``folder``.

    Raises:
        InputError: There is something else in the folder, or a fact cannot be read.
    """
    check_name(name)
    others = sorted({path.name for path in folder.iterdir()} - {*FILES, CARD}) if folder.is_dir() else []
    if folder.is_file() or others:
        raise InputError(
            f"Expected an empty folder for the model, but {folder} "
            + (f"holds {', '.join(others[:3])}." if others else "is a file.")
        )
    card = model_card(model, name, facts)
    save_pretrained(model, folder)
    with written_whole(folder / CARD) as temporary:
        temporary.write_text(card, encoding="utf-8")
    return folder


def upload(folder: Path, name: str, private: bool = False, message: str | None = None) -> str:
    """Upload a staged folder, in one commit; the repository is created if it is missing.

    Args:
        folder: As :func:`stage` wrote it.
        name: ``owner/name``.
        private: Of a new repository: for its owner only.
        message: Of the commit.

    Returns:
        The address of the commit.

    Raises:
        InputError: The hub cannot be reached or refuses; nothing is half uploaded.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="mis_lightning")
    try:
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[*FILES, CARD],
            commit_message=message or "A click model of mis_lightning",
        )
    except Exception as error:  # whatever the client of the day raises for no network, no token, no right
        reason = str(error).strip().splitlines() or [""]
        raise InputError(
            f"{name} could not be uploaded ({type(error).__name__}: {reason[0]}). Log in with `hf auth "
            "login` or set HF_TOKEN. Without network access: write the files with --dry-run DIR and upload "
            f"that folder from another machine, `hf upload {name} DIR`."
        ) from error
    return str(getattr(commit, "commit_url", commit))

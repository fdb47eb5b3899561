"""Whether the hub answers, asked once and soon."""

from __future__ import annotations

TIMEOUT = 10.0
"""Seconds that the hub has for its first answer."""


def hub_problem(repository: str, revision: str | None = None) -> Exception | None:
    """Ask the hub for a model once, without the retries of its client; why it gave none, ``None`` if it did.

    Whoever has no network should not wait to be told so.

    Args:
        repository: ``owner/name``.
        revision: A branch, tag or commit.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
    except Exception as error:  # no network, the hub is down, no such model, or HF_HUB_OFFLINE is set
        return error
    return None

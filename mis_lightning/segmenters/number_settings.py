"""Settings that are numbers only, read from JSON."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from mis_lightning.errors import InputError


def read_numbers(content: Any, kind: type, called: str, whole: Collection[str] = ()) -> dict[str, Any]:
    """The entries of an object with numbers for fields of a dataclass, any of which may be absent.

    Args:
        content: The JSON value.
        kind: The dataclass.
        called: What to call it in messages.
        whole: Fields that are integers.

    Raises:
        InputError: It is something else. Whether the numbers are sound, the dataclass says.
    """
    known = {field.name for field in fields(kind)}
    if not isinstance(content, dict) or not set(content) <= known:
        raise InputError(f"Expected {called} with entries among {', '.join(sorted(known))}.")
    if not all(type(n) is int or (type(n) is float and name not in whole) for name, n in content.items()):
        raise InputError(f"Expected numbers in {called}, but got {str(content)[:200]}.")
    return content

"""Settings that are numbers only, so that a ``config.json`` can hold them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from typing_extensions import Self

from mis_lightning.errors import InputError


@dataclass(frozen=True)
class NumberSettings:
    """Base of dataclasses whose fields are ``int`` or ``float``.

    Attributes:
        called: What messages call it.
    """

    called: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read what :meth:`to_json` wrote; any entry may be absent.

        Raises:
            InputError: It is something else.
        """
        known = {field.name: field.type for field in fields(cls)}
        if not isinstance(content, dict) or not set(content) <= set(known):
            raise InputError(f"Expected {cls.called} with entries among {', '.join(sorted(known))}.")
        whole = {name for name, kind in known.items() if kind in ("int", int)}
        if not all(type(n) is int or (type(n) is float and name not in whole) for name, n in content.items()):
            raise InputError(f"Expected numbers in {cls.called}, but got {str(content)[:200]}.")
        return cls(**content)

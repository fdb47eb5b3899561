"""Numba's compiler, kept on disk where there is a place for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

from mis_lightning.errors import Note


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """:func:`numba.njit`, also where Numba finds no folder for its cache and would refuse to begin.

    That is so where the package is installed read-only and the user has no home that can be written to. The
    code is then compiled anew in each process, which takes seconds.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if not options.get("cache") or "no locator" not in str(error):
                raise
        _say_once()
        return numba.njit(**{**options, "cache": False})(function)

    return compile_


_said: list[bool] = []


def _say_once() -> None:
    if not _said:
        _said.append(True)
        warnings.warn(
            "No folder to keep compiled code in: every start takes seconds longer. Set NUMBA_CACHE_DIR to a "
            "folder that can be written to.",
            Note,
            stacklevel=2,
        )

"""Errors that the user can fix. The command line prints only their message, without a traceback.

A message says what was expected, what was found, in which file, and what to do next.
"""

from __future__ import annotations


class InputError(ValueError):
    """Invalid user input; the message names it and says how to fix it."""


class Note(UserWarning):
    """A warning that is meant for users; the command line shows its text, and no other warnings."""


class Interrupted(Exception):
    """The user, or the system, has asked the program to stop, and it has.

    Args:
        words: What was kept, and how to go on.
        status: Exit status of the process: 128 and the number of the signal.
    """

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class ImageError(InputError):
    """An image or mask file that cannot be read or does not fit its partner."""


class StoreMismatchError(InputError):
    """A store of precomputed regions was made with settings other than the ones asked for."""


class DatasetNotFoundError(InputError, FileNotFoundError):
    """A folder of images or a benchmark is missing or incomplete."""

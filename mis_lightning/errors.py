"""Errors that the user can fix. The command line prints only their message, without a traceback.

A message says what was expected, what was found, in which file, and what to do next.
"""

from __future__ import annotations

import errno


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


def of_system(error: OSError) -> str:
    """What the system refuses, such as to write on a full disk, and at which file."""
    place = f" ({error.filename})" if error.filename else ""
    remedy = {
        errno.ENOSPC: " Make room, then run it again: what was finished is kept.",
        errno.EDQUOT: " Make room, then run it again: what was finished is kept.",
        errno.EROFS: " Choose another folder.",
        errno.EACCES: " Choose another folder, or change its permissions.",
    }
    return f"{error.strerror or error}{place}.{remedy.get(error.errno or 0, '')}"


def of_workers(error: BaseException) -> str | None:
    """What to do where dataloader workers have no shared memory left; ``None``: it is another error."""
    text = str(error)
    signs = ("out of shared memory", "Bus error", "file </torch_")
    if not isinstance(error, RuntimeError) or not any(sign in text for sign in signs):
        return None
    return (
        "The dataloader's workers have no shared memory left (/dev/shm). Run it again with "
        "--data.num_workers 0, or give the container more of it: docker run --shm-size=2g."
    )

"""What the command line prints, on any console, and how it ends."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from mis_lightning.cli import VERBS, main
from mis_lightning.console import told
from mis_lightning.errors import InputError, Note


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Runs a function as if it were a verb; gives the exit status."""

    def run(work: Callable[[], object]) -> int:
        module = types.ModuleType("a_verb_of_a_test")
        module.main = lambda _args: work() or 0
        monkeypatch.setitem(sys.modules, "a_verb_of_a_test", module)
        monkeypatch.setitem(VERBS, "report", ("a_verb_of_a_test", ""))
        return main(["report"])

    return run


def fails(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "parts"),
    [
        (InputError("Expected a folder."), 2, ["Expected a folder."]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (OSError(errno.ENOSPC, "No space left on device", "a"), 2, ["No space left", "(a)", "Make room"]),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, ["Read-only", "another folder"]),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, ["denied (x)", "permissions"]),
        (OSError("something else"), 2, ["something else"]),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."), 2, ["num_workers 0"]),
        (RuntimeError("Caught …\n shared memory(shm) for file </torch_1_2>: No space"), 2, ["/dev/shm"]),
    ],
)  # fmt: skip
def test_one_line_and_a_status(verb, capsys, error: BaseException, status: int, parts: list[str]) -> None:
    assert verb(fails(error)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mis report: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_errors_of_the_program_keep_their_traceback(verb) -> None:
    with pytest.raises(ZeroDivisionError):
        verb(lambda: 1 / 0)


def test_notes_are_shown_as_one_line_and_other_warnings_not_at_all(verb, capsys) -> None:
    def work() -> None:
        warnings.warn("the masks are small", Note, stacklevel=1)
        warnings.warn("a function of a library will go", DeprecationWarning, stacklevel=1)
        warnings.warn("a library has thoughts", UserWarning, stacklevel=1)

    assert verb(work) == 0
    assert capsys.readouterr().err == "note: the masks are small\n"


PRINTS = """
import sys
from mis_lightning.console import prepare
prepare()
print("≥20@85 × …")
print("画像", b"\\xff.png".decode("utf-8", "surrogateescape"))
print("画像", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, "cp1252", ">=20@85 × …\n\\u753b\\u50cf \\udcff.png\n"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", ">=20@85 × ...\n\\u753b\\u50cf \\udcff.png\n"),
        ({"PYTHONIOENCODING": "ascii"}, "ascii", ">=20@85 x ...\n\\u753b\\u50cf \\udcff.png\n"),
        (
            {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
            "ascii",
            ">=20@85 x ...\n\\u753b\\u50cf \\udcff.png\n",
        ),
        ({"PYTHONIOENCODING": "utf-8"}, "utf-8", "≥20@85 × …\n画像 \\udcff.png\n"),
    ],
)
def test_what_a_console_cannot_show_is_written_plainly(
    tmp_path: Path, environment: dict[str, str], encoding: str, expected: str
) -> None:
    (tmp_path / "prints.py").write_text(PRINTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "prints.py"],
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stdout.decode(encoding) == expected
    assert done.stderr.decode(encoding).strip() in ("画像", "\\u753b\\u50cf")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    program = (
        "import sys; from mis_lightning.cli import main; sys.exit(main(['--help']) or main(['report', 'x']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_what_is_done_is_told_in_lines_where_nobody_watches(capfd):
    assert list(told(iter("abc"), 3, "reading", "page", seconds=0.0)) == ["a", "b", "c"]
    assert capfd.readouterr().err == "reading: 1 of 3 pages\nreading: 2 of 3 pages\nreading: 3 of 3 pages\n"
    assert list(told(iter("abc"), 3, "reading", "page")) == ["a", "b", "c"]
    assert capfd.readouterr().err == "reading: 3 of 3 pages\n"

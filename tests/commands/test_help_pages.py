"""``mis VERB --help``: short, at once, without the markup of docstrings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mis_lightning.cli import main
from mis_lightning.commands.config_files import config_names
from mis_lightning.commands.help_pages import plain

ALL_VERBS = """
import contextlib, io, sys
from mis_lightning.cli import VERBS, main
for verb in VERBS:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            status = main([verb, "--help"])
        except SystemExit as stop:
            status = stop.code
    heavy = {"torch", "lightning", "jsonargparse", "timm", "matplotlib", "fastapi"} & set(sys.modules)
    assert not heavy, f"mis {verb} --help imports {heavy}"
    assert not status, f"mis {verb} --help: {status}"
    lines = text.getvalue().splitlines()
    assert lines[0].startswith(f"usage: mis {verb}"), lines[0]
    assert 5 < len(lines) < 70, f"mis {verb} --help has {len(lines)} lines"
    markup = [line for line in lines if "``" in line or "SUPPRESS" in line or ":class:" in line]
    assert not markup, markup
"""


def test_the_help_of_every_verb_is_short_and_needs_no_pytorch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_VERBS], capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def asked(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(args) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "precompute"])
def test_the_page_names_configs_and_how_to_get_more(verb, capsys) -> None:
    text = asked([verb, "--help"], capsys)
    for name in config_names():
        assert name in text or f"{name.partition('/')[0]}/" in text or name.startswith("sweeps/")
    assert f"mis {verb} --help data" in text
    assert asked([verb, "-h"], capsys) == text
    assert asked([verb, "--config", "cpu", "--help"], capsys) == text


@pytest.mark.parametrize("form", [["--help", "data.regions"], ["--help=data.regions"]])
@pytest.mark.parametrize("verb", ["fit", "precompute"])
def test_a_group(verb, form, capsys) -> None:
    lines = asked([verb, *form], capsys).splitlines()
    options = [line.split()[0] for line in lines if line.startswith("  --")]
    assert options == ["--data.regions.help", "--data.regions"]
    assert any("SegmentUnions" in line for line in lines)
    assert not any("mis_lightning.regions" in line for line in lines)


def test_all_options(capsys) -> None:
    text = asked(["fit", "--help", "all"], capsys)
    for option in ("--data.images", "--trainer.max_steps", "--model.model", "--ckpt_path"):
        assert f"  {option}" in text
    assert "``" not in text
    assert len(text.splitlines()) < 1000


def test_options_of_a_class(capsys) -> None:
    text = asked(["fit", "--data.regions.help", "SegmentUnions"], capsys)
    assert "union_probability" in text
    assert "``" not in text


def test_a_group_that_is_not_there(capsys) -> None:
    assert main(["precompute", "--help", "nonsense"]) == 2
    assert "'nonsense'; `mis precompute --help all`" in capsys.readouterr().err


def test_predict_has_two_pages(capsys) -> None:
    assert "--window" in asked(["predict", "--help"], capsys)
    assert "--ckpt_path" in asked(["predict", "--config", "cpu", "--help"], capsys)


def test_what_the_help_says_twice_is_true() -> None:
    from mis_lightning.commands import options
    from mis_lightning.export.onnx import OPSET, OPSETS
    from mis_lightning.segmenters.names import NAMES_HELP
    from mis_lightning.segmenters.registry import WITHOUT_TRAINING

    assert f"{OPSETS[0]} to {OPSETS[-1]} (default: {OPSET})" in " ".join(
        options.export().format_help().split()
    )
    assert NAMES_HELP.startswith(f"{', '.join(WITHOUT_TRAINING)}; ")


def test_long_lists_of_classes_are_cut() -> None:
    names = ", ".join(f"torch.nn.Part{k}" for k in range(30))
    assert plain(f"x (type: y, known subclasses: {names})") == (
        f"x (type: y, known subclasses: {', '.join(f'Part{k}' for k in range(8))}, and 22 more)"
    )
    assert plain(f"(y, known subclasses: {names}, mis_lightning.a.Ours)") == "(y, known subclasses: Ours)"

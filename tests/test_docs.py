"""Commands in README and docs parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mis_lightning.cli import VERBS
from mis_lightning.commands.bench import PARTS
from mis_lightning.commands.figure import KINDS
from mis_lightning.commands.lightning import run

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*.md")),
]
COMMANDS = sorted(
    {
        line.removeprefix("$ ").split("  #")[0].strip()
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("$ mis ")
    }
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_there_are_commands():
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_verb_and_its_files_are_there(command):
    words = shlex.split(command)
    assert words[1] in VERBS
    if words[1] == "bench":
        assert words[2] in PARTS
    if words[1] == "figure":
        assert words[2] in KINDS
    for word in words:
        if word.startswith("configs/"):
            assert (ROOT / word).is_file()


FIT = [
    command
    for command in COMMANDS
    if command.startswith(("mis fit", "mis test", "mis predict")) and "…" not in command
]


@pytest.mark.parametrize("command", FIT)
def test_options_of_the_lightning_verbs_parse(command, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    options = [word for word in shlex.split(command)[2:]]
    kept, skip = [], False
    for word, following in zip(options, [*options[1:], ""], strict=True):
        if skip:
            skip = False
        elif word == "--ckpt_path":
            skip = True  # of the verb, not of its config
            assert following
        elif word == "--trainer.devices":
            skip = True  # this machine may not have so many
        else:
            kept.append(word)
    if "configs/mis_vitb448_sbd.yaml" not in kept:  # its weights are not here
        run(kept, run=False)

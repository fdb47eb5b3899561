"""Commands in README and docs parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.cli import VERBS, main
from mis_lightning.commands.bench import PARTS
from mis_lightning.commands.config_files import find_config
from mis_lightning.commands.lightning import run
from mis_lightning.commands.options import FIGURES

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


PARITY = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "parity.md").read_text(encoding="utf-8"))


def test_every_rule_of_the_published_code_has_its_test():
    assert len(PARITY) > 30
    for file, test in PARITY:
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
    for line in (ROOT / "docs" / "parity.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| rule ", "| defect ")):
            assert "`tests/" in line, line


def anchors(page: Path) -> list[str]:
    """Those of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_references_to_the_protocol_lead_to_its_rules():
    known = anchors(ROOT / "docs" / "protocol.md")
    assert len(known) == len(set(known)) > 50
    files = [*PAGES, ROOT / "setup.cfg"]
    for folder in ("mis_lightning", "tests", "experiments", "examples"):
        files += [path for kind in ("py", "yaml", "js") for path in (ROOT / folder).rglob(f"*.{kind}")]
    used = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"protocol\.md#([\w-]+)", text))
        assert found <= set(known), f"{path.relative_to(ROOT)}: {found - set(known)}"
        used |= found
        assert not re.search(r"\b[Ss]pec [A-G]\d*\b", text), (
            f"{path.relative_to(ROOT)} cites another document"
        )
    assert len(used) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_into_a_page_lead_to_its_headings(page):
    for target, anchor in re.findall(r"\]\(([^):#]*\.md|)#([^)]+)\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_there_are_commands():
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_verb_and_its_files_are_there(command):
    words = shlex.split(command)
    assert words[1] in VERBS
    if words[1] == "bench":
        assert words[2] in PARTS
    if words[1] == "figure":
        assert words[2] in FIGURES
    for word in words:
        if word.startswith("configs/"):
            assert (ROOT / word).is_file()
    for option, value in pairwise(words):
        if option in ("--config", "--evaluate"):
            assert Path(find_config(value)).is_file()


FIT = [
    command
    for command in COMMANDS
    if command.startswith(("mis fit", "mis test", "mis predict"))
    and "…" not in command
    and "--clicks" not in command  # needs no config
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
    if "mis_vitb448_sbd" not in kept:  # its weights are not here
        run(kept, run=False)


def snippets(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_classes_of_the_how_tos_do_what_they_say(tmp_path):
    names: dict = {}
    for snippet in snippets("how_to.md"):
        if re.search(r"^class ", snippet, re.MULTILINE):
            exec(snippet, names)
    image = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    features, grid = names["Grey"]()(image)
    assert (features.shape, features.dtype, grid) == ((24, 1), np.float32, (4, 6))
    assert features[0, 0] == pytest.approx(image[:8, :8].mean(), abs=1e-3)
    source = names["Halves"]()
    region = source.draw(source.find(image, "a", None), (37, 50), np.random.default_rng(0))
    assert region[:, :25].all()
    assert not region[:, 25:].any()
    for folder, suffix, pixels in (("images", "jpg", image), ("masks", "png", region.astype(np.uint8) * 255)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / f"a.{suffix}")
    (sample,) = (names["Leaves"](str(tmp_path))[index] for index in range(1))
    assert (sample.name, sample.ignore, sample.image.shape) == ("a", None, (37, 50, 3))
    assert (sample.mask == region).all()
    segmenter = names["Likeness"]()
    image[5:20, 10:30] = (250, 40, 40)
    session = AnnotationSession(image, segmenter)
    session.add_object()
    session.click(12, 20)
    session.click(30, 45, positive=False)
    assert session.mask()[10:16, 14:26].all()
    assert not session.mask()[24:].any()


def test_annotating_from_python_does_what_it_says(tmp_path, monkeypatch):
    nibabel = pytest.importorskip("nibabel", reason="needs the medical extra")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (180, 240, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photos" / "cat.jpg")
    scan = np.random.default_rng(0).integers(0, 256, (40, 50, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(scan, np.diag([1, 1, 3, 1])), "ct.nii.gz")
    names: dict = {}
    for snippet in snippets("how_to.md"):
        if "AnnotationSession" in snippet or "VolumeSession" in snippet:
            exec(snippet, names)
            if "store = " in snippet:
                photo_session = names["session"]
    assert names["mask"].any()
    assert [one.name for one in photo_session.objects] == ["cat", "ball", "dog", "ball"]
    assert main(["export-masks", "photos_masks", "--format", "coco"]) == 0
    assert (tmp_path / "photos_masks_coco" / "coco.json").is_file()
    labels = nibabel.load("labels.nii.gz")
    assert labels.shape == scan.shape
    assert np.asarray(labels.dataobj).any(axis=(0, 1)).nonzero()[0].tolist() == [5]
    assert nibabel.load("ct_labels.nii.gz").shape == scan.shape
    assert names["volume"].names() == {1: "liver"}
    assert "ct.nii.gz#axial-5" in AnnotationStore("ct_masks")


def test_the_reference_knows_every_source_and_picture():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for path in (ROOT / "configs" / "sources").glob("*.yaml"):
        assert f"`{path.stem}`" in text
    for kind in FIGURES:
        assert f"| `{kind}` |" in text

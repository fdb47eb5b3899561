"""`mis adapt` from images to a model folder, with a network of a few thousand weights and four steps."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.commands import adapt, adapt_task, lightning, options
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.images import Reading
from mis_lightning.models.pretrained import load_pretrained, save_pretrained
from mis_lightning.segmenters.appearance_prior import AppearancePrior
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.training.told_steps import ToldSteps

LOOK = {"cues": {"centred": [0.5, 0.2, 0.3]}, "wide": 0.6, "least": 16, "most": 3}
ASKED = {
    "flip": False,
    "zoom_in": None,
    "threshold": 0.4,
    "first_look": LOOK,
}  # unlike the published settings
OPTIONS = [
    *("--steps", "4", "--measured", "3"),
    *("--data.num_workers=0", "--data.batch_size=2", "--data.regions_per_image=2"),
    *("--data.min_object_area=1", "--trainer.precision=32-true"),
]


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Few clicks, one small picture in place of the bundled photographs, a cache of its own."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    (tmp_path / "photographs").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photographs" / "one.png")
    monkeypatch.setattr(adapt, "bundled_images", lambda: [tmp_path / "photographs" / "one.png"])
    monkeypatch.setenv("MIS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(adapt, "EvaluationSettings", partial(EvaluationSettings, max_clicks=4))


@pytest.fixture
def start(tmp_path, tiny_click_vit) -> Path:
    model = tiny_click_vit()
    model.recommended = ASKED
    return save_pretrained(model, tmp_path / "start")


@pytest.fixture
def images(tmp_path) -> Path:
    """Six images of discs; the first four have label maps in ``masks``."""
    for number in range(6):
        generator = np.random.default_rng(number)
        labels = np.zeros((48, 64), np.uint8)
        for level in (1, 2):
            cv2.circle(labels, (16 + 30 * (level - 1), 24), int(generator.integers(6, 10)), level, -1)
        pixels = generator.integers(0, 256, (3, 3))[labels] + generator.normal(0, 5, (48, 64, 3))
        for folder, content in (("images", np.clip(pixels, 0, 255).astype(np.uint8)), ("masks", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            if folder == "images" or number < 4:
                Image.fromarray(content).save(tmp_path / folder / f"{number}.png")
    return tmp_path / "images"


def adapted(images: Path, start: Path, out: Path, *more: str) -> int:
    return main(["adapt", str(images), "--out", str(out), "--model", str(start), *OPTIONS, *more])


def test_without_labels(images, start, tmp_path, capfd):
    out = tmp_path / "model"
    assert adapted(images, start, out) == 0
    said, told = capfd.readouterr()
    assert f"{start} learns from the merge trees of 4 images, without labels" in said
    assert "On 3 regions of the merge trees that were held back" in said
    assert "Regions are not objects" in said
    assert f"Next: mis annotate {images} --model " in said
    assert "step 4 of 4: loss " in told  # not a terminal: lines of their own
    assert "measuring after: 3 of 3 objects" in told
    assert "\r" not in told[told.index("step ") :]
    record = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    held = {one["name"].rpartition("#")[0] for one in record["before"]}
    learned = (out / "training" / "images.txt").read_text(encoding="utf-8").split()
    assert len(held) == 2
    assert not {f"/{name}" for name in held} & set(learned)
    model, before = load_pretrained(out), load_pretrained(start)
    assert model.recommended == ASKED
    assert 0 < max((v - before.state_dict()[k]).abs().max() for k, v in model.state_dict().items()) < 0.1
    assert open_segmenter(out).threshold == 0.4
    assert "adapted to the merge trees of 4 images" in (out / "README.md").read_text(encoding="utf-8")
    # The same again has nothing to do, and says the same in the end.
    assert adapted(images, start, out) == 0
    again = capfd.readouterr().out
    assert "adapted already" in again
    assert again.partition("On 3")[2] == said.partition("On 3")[2]
    # Another question does not go on with this run.
    assert adapted(images, start, out, "--seed", "1") == 2
    assert "seed was 0, is 1" in capfd.readouterr().err


def test_masks_are_learned_from_for_longer_than_trees(images, start, tmp_path, monkeypatch, capfd):
    asked = []

    def stop(words, **_):
        asked.append([word for word in words if "steps" in word])
        raise InputError("enough")

    monkeypatch.setattr(lightning, "run", stop)
    for number, more in enumerate(([], ["--masks", str(images.parent / "masks")])):
        out = str(tmp_path / f"model{number}")
        assert main(["adapt", str(images), "--out", out, "--model", str(start), *more]) == 2
    steps = adapt.STEPS_WITH_MASKS
    longer = [f"--trainer.max_steps={steps}", f"--model.lr_scheduler.init_args.warmup_steps={steps // 10}"]
    assert asked == [[], longer]
    assert "(400 with masks, 60 without)" in options.adapt().format_help()
    assert steps == 400


def test_with_masks_of_some_images(images, start, tmp_path, capfd, monkeypatch):
    made = []
    monkeypatch.setattr(lightning, "run", lambda *a, **k: made.append(run(*a, **k)) or made[-1])
    assert adapted(images, start, tmp_path / "model", "--masks", str(images.parent / "masks")) == 0
    said = capfd.readouterr().out
    assert "learns from 6 masks on 3 images and the merge trees of 2 other images" in said
    assert "On 2 objects that were held back" in said
    record = json.loads((tmp_path / "model" / "adaptation.json").read_text(encoding="utf-8"))
    held = {one["name"].split("#")[0] for one in record["after"]}
    data = made[0].datamodule
    (objects, share), trees = data.others[0], data.training_set
    assert len(data.others) == 2  # and what is to be remembered
    learned = [objects.objects[index] for index in range(len(objects.objects))]
    names = {sample.name.split("#")[0] for sample in learned}
    assert len(names) == 3
    assert names | held == {"0.png", "1.png", "2.png", "3.png"}
    assert [image.path.name for image in trees.images] == ["4.png", "5.png"]
    assert (share, data.share) == (1.0, adapt.TREES_BESIDE_MASKS)
    asked = load_pretrained(tmp_path / "model").recommended
    look = asked.pop("first_look")  # learned from the masks, too, and the rest as it was
    appearance = AppearancePrior.from_json(asked.pop("appearance"))
    assert asked == {name: value for name, value in ASKED.items() if name != "first_look"}
    assert 0 < abs(look["wide"] - LOOK["wide"]) < 0.5
    assert look["cues"]["centred"][:2] == LOOK["cues"]["centred"][:2]
    assert open_segmenter(tmp_path / "model").prediction.first_look.wide == look["wide"]
    assert open_segmenter(tmp_path / "model").prediction.appearance == appearance
    name = learned[0].name.split("#")[0]
    with Image.open(images.parent / "masks" / name) as labels:
        assert learned[0].mask.tobytes() == (np.asarray(labels) == 1).tobytes()


def test_masks_of_every_image(images, start, tmp_path, capfd):
    for number in (4, 5):
        (images / f"{number}.png").unlink()
    assert adapted(images, start, tmp_path / "model", "--masks", str(images.parent / "masks")) == 0
    assert "learns from 6 masks on 3 images;" in capfd.readouterr().out


def test_a_share_of_the_way(images, start, tmp_path):
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert adapted(images, start, whole, "--hold-back", "0", "--share", "1") == 0
    assert adapted(images, start, half, "--hold-back", "0") == 0
    a, b, c = (load_pretrained(folder).state_dict() for folder in (start, half, whole))
    for name in a:
        torch.testing.assert_close(b[name], (a[name] + c[name]) / 2)


def test_stopped_it_goes_on_to_the_same_weights(images, start, tmp_path, capfd, monkeypatch):
    assert adapted(images, start, tmp_path / "whole", "--hold-back", "0") == 0

    def killing(self, trainer, *_):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(ToldSteps, "on_train_batch_end", killing)
        assert adapted(images, start, tmp_path / "stopped", "--hold-back", "0") == 128 + signal.SIGTERM
    assert "run the same command again to continue" in capfd.readouterr().err
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    assert adapted(images, start, tmp_path / "stopped", "--hold-back", "0") == 0
    assert "step 4 of 4" in capfd.readouterr().err
    a, b = (load_pretrained(tmp_path / name).state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("own", [True, False])
def test_images_to_be_remembered_are_drawn_too(own, images, start, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(lightning, "run", lambda *a, **k: made.append(run(*a, **k)) or made[-1])
    replay = ["--replay", str(images.parent / "masks")] if own else []
    assert adapted(images, start, tmp_path / "model", "--hold-back", "0", *replay) == 0
    ((other, share),) = made[0].datamodule.others
    names = [image.path.name for image in other.images]
    assert names == (["0.png", "1.png", "2.png", "3.png"] if own else ["one.png"])
    assert share == adapt.REPLAYED


run = lightning.run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", "1"], "--steps of at least 2, but got 1"),
        (["--share", "0"], "--share in (0, 1]"),
        (["--hold-back", "1"], "held back in [0, 1)"),
        (["--model", "nowhere"], "nothing at nowhere"),
        (["--trainer.nonsense", "3"], "nonsense"),
    ],
)
def test_options_that_do_not_fit(options, said, images, start, tmp_path, capfd):
    assert adapted(images, start, tmp_path / "model", *options) == 2
    assert said in capfd.readouterr().err


def test_what_was_asked_for_in_vain_does_not_count(images, start, tmp_path, capfd):
    out, masks = tmp_path / "model", images.parent / "masks"
    assert adapted(images, start, out, "--masks", str(masks) + "x") == 2
    assert adapted(images, start, out, "--nonsense", "3") == 2
    assert adapted(images, start, out, "--masks", str(masks)) == 0
    assert adapted(images, start, out) == 2
    assert "with other settings (masks was" in capfd.readouterr().err


def test_images_and_masks_are_read_as_told(images, start, tmp_path, monkeypatch):
    seen, channels = [], 5
    deep = tmp_path / "deep"
    deep.mkdir()
    for number, path in enumerate(sorted(images.iterdir())):
        rgb = np.asarray(Image.open(path))
        stack = np.concatenate([np.zeros((*rgb.shape[:2], channels - 3), np.uint8), rgb], axis=-1)
        tifffile.imwrite(deep / f"{number}.tif", stack, photometric="minisblack", planarconfig="contig")
    masks = images.parent / "masks"
    for path in masks.iterdir():
        labels = np.asarray(Image.open(path)).astype(np.int16)
        labels[0, 0] = -1
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), labels)
    monkeypatch.setattr(lightning, "run", lambda *a, **k: seen.append(run(*a, **k)) or seen[-1])
    words = ["--masks", str(masks), "--channels", "2", "3", "4", "--ignore-label=-1", "--min-area", "100"]
    assert adapted(deep, start, tmp_path / "model", *words) == 0
    data = seen[0].datamodule
    first = data.training_set.images[0].read()
    np.testing.assert_array_equal(first, np.asarray(Image.open(images / "4.png")))
    assert all(one[0].images[0].reading == Reading() for one in data.others if hasattr(one[0], "images"))
    assert adapted(deep, start, tmp_path / "model", *words[:-1], "90") == 2  # is another task


def test_folders_that_hold_something_else(images, start, tmp_path, capfd):
    assert adapted(images, start, images) == 2
    assert "new or empty folder in --out" in capfd.readouterr().err
    (tmp_path / "empty").mkdir()
    assert adapted(tmp_path / "empty", start, tmp_path / "model") == 2
    assert str(tmp_path / "empty") in capfd.readouterr().err


def test_no_better_than_before_keeps_the_old_model(tmp_path):
    given = options.adapt().parse_args([str(tmp_path), "--out", "new"])
    task = adapt_task.Task(given, [])
    worse = [{"name": "a", "ious": [0.9]}], [{"name": "a", "ious": [0.1, 0.9]}]
    said = adapt_task.report(task, dict(zip(("before", "after"), worse, strict=True)))
    assert "change of NoC@85: +1.00" in said
    assert "keep mis-small" in said
    assert said.endswith(f"Next: mis annotate {tmp_path} --model mis-small")
    better = adapt_task.report(task, dict(zip(("after", "before"), worse, strict=True)))
    assert "change of NoC@85: -1.00" in better
    assert better.endswith(f"Next: mis annotate {tmp_path} --model new")

"""The whole loop, through the command a newcomer runs, with a handful of steps."""

import csv
import json
from functools import partial

import pytest
from PIL import Image

from mis_lightning.cli import main
from mis_lightning.commands import quickstart
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.training import noc_evaluation as noc


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        # 4 clicks on each object instead of 20: the same course, and most of the time was spent clicking
        patch.setattr(noc, "EvaluationSettings", partial(EvaluationSettings, max_clicks=4))
        patch.setattr(quickstart, "SHOWN_CLICKS", (1, 2, 3, 4))
        assert main(["quickstart", "--folder", str(folder), "--steps", "3"]) == 0
    return folder


def test_reports_hold_every_object_before_and_after(folder):
    names = {BundledBenchmark()[index].name for index in range(31)}
    for label in ("untrained", "trained"):
        record = json.loads((folder / "evaluation" / label / "results.json").read_text(encoding="utf-8"))
        assert record["benchmarks"]["bundled"]["values"]["n"] == len(names)
        with (folder / "evaluation" / label / "curves.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert names <= {value for row in rows for value in row.values()}


def test_training_changed_the_weights(folder):
    weight = load_pretrained(folder / "model").norm.weight  # ones before the first step
    assert 0 < (weight - 1).abs().max() < 0.1


def test_pictures_can_be_looked_at(folder):
    for name in ("merge_levels", "clicks"):
        with Image.open(folder / "pictures" / f"{name}.png") as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000


def test_the_model_answers(folder):
    predictor = ClickPredictor.from_pretrained(folder / "model")
    predictor.set_image(BundledBenchmark()[0].image)
    probability = predictor.click(100, 100)
    assert probability.shape == (512, 512)
    assert 0 <= probability.min() <= probability.max() <= 1


def test_the_checkpoint_goes_on_and_predicts(folder, tmp_path):
    sample = BundledBenchmark()[0]
    Image.fromarray(sample.image).save(tmp_path / "one.png")
    (tmp_path / "clicks.json").write_text(
        '{"one.png": [{"row": 100, "col": 100, "positive": true}]}', encoding="utf-8"
    )
    options = [
        "--config=quickstart",
        f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}",
        f"--data.clicks={tmp_path / 'clicks.json'}",
        f"--trainer.default_root_dir={tmp_path}",
        f"--trainer.logger.init_args.save_dir={tmp_path}",
    ]
    assert main(["predict", *options]) == 0
    with Image.open(tmp_path / "masks" / "one.png") as mask:
        assert mask.size == (512, 512)
        assert set(mask.getdata()) <= {0, 255}
    predictor = ClickPredictor.from_pretrained(folder / "checkpoints" / "last.ckpt")
    predictor.set_image(sample.image)
    predictor.click(100, 100)
    with Image.open(tmp_path / "masks" / "one.png") as mask:
        assert (sum(value == 255 for value in mask.getdata())) == predictor.mask.sum()

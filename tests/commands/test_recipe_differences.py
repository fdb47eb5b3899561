"""What of a run is not as the recipe of its row says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mis_lightning.commands.lightning import run
from mis_lightning.commands.recipe_differences import differences
from mis_lightning.metrics.paper_tables import Result
from mis_lightning.segmenters.prediction_settings import PredictionSettings

MIS = "--config=mis_vitb448_sbd"
FULL = "--data.regions.init_args.connectivity=full"
ASKED = {**PredictionSettings(size=(448, 448)).to_json(), "max_clicks": 20, "target_iou": None}


def of(config: dict, benchmark: str = "GrabCut", **asked) -> Result:
    return Result(Path(), {benchmark: {"noc@85": 2.0}}, {}, config, {**ASKED, **asked})


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The config that a run writes into its results, with everything explicit."""

    def make(*words: str) -> dict:
        offline = "--data.regions.init_args.extractor.init_args.pretrained=false"
        cli = run([*words, "--data.images=here", offline], run=False)
        return yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))

    return make


def test_the_recipe_as_it_is(printed) -> None:
    config = printed(MIS)
    assert config["trainer"]["max_epochs"] == 55
    assert differences(of(config), [MIS]) == []
    assert differences(of(config, "DAVIS", size=[672, 672]), [MIS]) == []
    assert differences(of(config), [MIS, FULL]) == ["data.regions.connectivity"]
    assert differences(of(printed(MIS, FULL)), [MIS, FULL]) == []


def test_what_differs_is_named(printed) -> None:
    config = printed(
        *(MIS, "--model.loss.init_args.smoothness_weight=0", "--model.optimizer.init_args.lr=1e-2"),
        *("--data.batch_size=1", "--trainer.limit_train_batches=2", "--data.points.init_args.gamma=0.5"),
    )
    found = differences(of(config, flip=False, max_clicks=3, zoom_in=None, size=[224, 224]), [MIS])
    assert sorted(found) == [
        *("data.batch_size", "data.points.gamma"),
        *("evaluation.flip", "evaluation.max_clicks", "evaluation.size", "evaluation.zoom_in"),
        *("model.loss.smoothness_weight", "model.optimizer.lr"),
        "trainer.limit_train_batches",
    ]
    recommended = differences(of(printed(MIS), refinement={"price": 10}), [MIS])
    assert recommended == ["evaluation.refinement"]
    assert differences(of(printed(MIS), "DAVIS"), [MIS]) == ["evaluation.size"]


def test_what_the_result_does_not_tell_does_not_differ() -> None:
    assert differences(Result(Path(), {"GrabCut": {}}, {}, {}), [MIS]) == []

"""`mis test` on three pictures of the real GrabCut, with models whose answers can be worked out by hand.

The numbers below were found without this package: pixels counted in the published mask files, depths by
SciPy's distance transform, answers by slow_protocol.py.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from mis_lightning.cli import main
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.structures import Prompt, Sample

_spec = importlib.util.spec_from_file_location("slow_protocol", Path(__file__).with_name("slow_protocol.py"))
slow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(slow)

NAMES = ("21077", "teddy", "tennis")
LEVELS = {  # pixels of level 255 (object), 0 (background) and 128 (ignored) in boundary_GT/*.bmp
    "21077": (17274, 136199, 928),
    "teddy": (24163, 88869, 0),
    "tennis": (19469, 214930, 1601),
}


class Everything(ClickViT):
    """Says "all of it", whatever is clicked."""

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        return torch.full_like(prompt.previous_mask, 3.0)


class NearestClick(ClickViT):
    """A pixel belongs if its nearest click is positive and at most 90 pixels of the network's input away."""

    def forward(self, image: Tensor, prompt: Prompt) -> Tensor:
        rows, cols = torch.arange(image.shape[-2])[:, None], torch.arange(image.shape[-1])
        nearest = []
        for half in prompt.points.chunk(2, dim=1):
            square = (rows - half[..., 0, None, None]) ** 2 + (cols - half[..., 1, None, None]) ** 2
            square = square.masked_fill(half[..., 2, None, None] < 0, torch.inf)
            nearest.append(square.amin(dim=1, keepdim=True))
        positive, negative = nearest
        return torch.where((positive < negative) & (positive <= 90**2), 6.0, -6.0)


CONFIG = """
trainer:
  accelerator: cpu
  logger: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: mis_lightning.training.noc_evaluation.NoCEvaluation
      init_args: {{settings: {{max_clicks: {clicks}, target_iou: null}}, batch_size: 2, folder: "{folder}"}}
model:
  model:
    class_path: {module}.{model}
    init_args: {{dim: 8, depth: 1, heads: 1, neck_dims: [4, 4, 4, 4], head_dim: 4}}
  loss: {{class_path: mis_lightning.losses.interactive.ClickLoss}}
data:
  test_benchmarks:
    - class_path: mis_lightning.data.benchmarks.GrabCut
      init_args: {{root: "{root}", allow_incomplete: true}}
"""


@pytest.fixture(scope="module")
def grabcut(tmp_path_factory) -> Path:
    """The three pictures in GrabCut's layout, as links to the real files."""
    if "MIS_DATA_DIR" not in os.environ:
        pytest.skip("MIS_DATA_DIR is not set: no real benchmarks")
    real, root = Path(os.environ["MIS_DATA_DIR"]).resolve() / "GrabCut", tmp_path_factory.mktemp("data")
    for folder in ("data_GT", "boundary_GT"):
        (root / "GrabCut" / folder).mkdir(parents=True)
        for file in (real / folder).iterdir():
            if file.stem in NAMES:
                (root / "GrabCut" / folder / file.name).symlink_to(file)
    return root


@pytest.fixture
def run(grabcut, tmp_path, monkeypatch, capsys):
    """Runs `mis test`; returns the rows of curves.csv by picture, and results.json."""
    monkeypatch.chdir(tmp_path)

    def test(model: type[ClickViT], clicks: int):
        words = {"clicks": clicks, "folder": tmp_path / "out", "root": grabcut, "module": __name__}
        (tmp_path / "config.yaml").write_text(CONFIG.format(model=model.__name__, **words), encoding="utf-8")
        assert main(["test", "--config", str(tmp_path / "config.yaml")]) == 0
        assert "found 3 images" in capsys.readouterr().err
        with (tmp_path / "out" / "curves.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        by_name = {name: [row for row in rows if row["object"] == name] for name in NAMES}
        return by_name, json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))

    return test


def levels(grabcut: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(grabcut / "GrabCut" / "boundary_GT" / f"{name}.bmp"))


def test_a_model_that_says_everything(run, grabcut) -> None:
    """IoU = object / (object + background) at every click; only the first click is positive."""
    rows, results = run(Everything, 4)
    for name in NAMES:
        found, background, ignored = LEVELS[name]
        pixels = levels(grabcut, name)
        assert [int((pixels == level).sum()) for level in (255, 0, 128)] == [found, background, ignored]
        assert [float(row["iou"]) for row in rows[name]] == pytest.approx([found / (found + background)] * 4)
        depth_inside, depth_outside = (
            distance_transform_edt(np.pad(pixels == level, 1))[1:-1, 1:-1] for level in (255, 0)
        )
        expected = [(*np.argwhere(depth_inside == depth_inside.max())[0], 1)]
        for _ in range(3):  # clicked pixels are no candidates, but distances stay
            row, col = np.argwhere(depth_outside == depth_outside.max())[0]
            expected.append((row, col, 0))
            depth_outside[row, col] = 0
        assert [(int(r["row"]), int(r["col"]), int(r["positive"])) for r in rows[name]] == expected
    values = results["benchmarks"]["GrabCut"]["values"]
    shares = [found / (found + background) for found, background, _ in LEVELS.values()]
    assert values["iou@1"] == pytest.approx(np.mean(shares))  # (0.1126 + 0.2138 + 0.0831) / 3
    assert values["noc@85"] == 4  # the budget
    assert values["failures@90"] == 3
    assert results["settings"]["comparable"] == {"GrabCut": False}


WRITTEN_DOWN = {  # row, column, kind and IoU of each click
    "21077": [
        *[(179, 244, 1, 0.6948), (113, 195, 1, 0.4190), (108, 163, 0, 0.4641)],
        *[(208, 179, 1, 0.5224), (204, 142, 0, 0.5581), (152, 307, 1, 0.6057)],
    ],
    "teddy": [
        *[(179, 145, 1, 0.4502), (294, 88, 1, 0.3510), (99, 132, 1, 0.4928)],
        *[(299, 188, 1, 0.5342), (259, 77, 0, 0.5509), (179, 80, 1, 0.5540)],
    ],
    "tennis": [
        *[(227, 241, 1, 0.3730), (242, 173, 0, 0.3419), (307, 229, 1, 0.5513)],
        *[(160, 251, 1, 0.5024), (153, 215, 0, 0.5427), (126, 259, 0, 0.5796)],
    ],
}


def test_a_model_of_disks(run, grabcut) -> None:
    """From the second click on the model sees a crop, so that 90 of its pixels are less of the picture."""
    rows, results = run(NearestClick, 6)
    network = NearestClick(dim=8, depth=1, heads=1, neck_dims=(4, 4, 4, 4), head_dim=4)
    settings = EvaluationSettings(max_clicks=6, target_iou=None)
    prediction = PredictionSettings(size=(448, 448))
    for name in NAMES:
        expected = WRITTEN_DOWN[name]
        assert [(int(r["row"]), int(r["col"]), int(r["positive"])) for r in rows[name]] == [
            click[:3] for click in expected
        ]
        ious = [click[3] for click in expected]
        assert [float(row["iou"]) for row in rows[name]] == pytest.approx(ious, abs=1e-3)
        assert ious[0] == pytest.approx(
            iou_of_the_first_disk(levels(grabcut, name), *expected[0][:2]), abs=0.01
        )
        (file,) = (grabcut / "GrabCut" / "data_GT").glob(f"{name}.*")
        pixels = levels(grabcut, name)
        sample = Sample(np.asarray(Image.open(file).convert("RGB")), pixels == 255, pixels == 128, name)
        clicks, ious = slow.reference_session(network, sample, settings, prediction, 200)
        assert [(c.row, c.col, int(c.positive)) for c in clicks] == [click[:3] for click in expected]
        np.testing.assert_allclose([float(row["iou"]) for row in rows[name]], ious, atol=1e-4)
    values = results["benchmarks"]["GrabCut"]["values"]
    assert values["iou@1"] == pytest.approx((0.6948 + 0.4502 + 0.3730) / 3, abs=1e-3)
    assert values["iou@5"] == pytest.approx((0.5581 + 0.5509 + 0.5427) / 3, abs=1e-3)


def iou_of_the_first_disk(pixels: np.ndarray, row: int, col: int) -> float:
    """In pixels of the picture: an ellipse whose half axes are 90 / 448 of its height and width."""
    rows, cols = (np.arange(size) for size in pixels.shape)
    down, right = (rows - row) / (90 * pixels.shape[0] / 448), (cols - col) / (90 * pixels.shape[1] / 448)
    disk = down[:, None] ** 2 + right**2 <= 1
    found, counts = pixels == 255, pixels != 128
    return float((disk & found & counts).sum() / ((disk | found) & counts).sum())

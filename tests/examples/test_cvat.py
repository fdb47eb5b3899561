"""The CVAT function on a request of the form that CVAT sends."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor

FOLDER = Path(__file__).parents[2] / "examples" / "cvat"


@pytest.fixture
def main():
    spec = importlib.util.spec_from_file_location("cvat_main", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def context(main, tiny_click_vit, tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL", str(save_pretrained(tiny_click_vit(), tmp_path / "model")))
    made = SimpleNamespace(user_data=SimpleNamespace(), Response=lambda **given: SimpleNamespace(**given))
    main.init_context(made)
    return made


def request(picture: np.ndarray, **changes: object) -> dict[str, object]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    body = {"image": base64.b64encode(buffer.getvalue()).decode(), "pos_points": [[60, 40], [70, 30]]}
    return {**body, "neg_points": [[5.5, 90]], "threshold": 0.45, **changes}


def test_the_answer_is_that_of_the_predictor(main, context, tiny_click_vit) -> None:
    image = np.random.default_rng(0).integers(256, size=(100, 120, 3), dtype=np.uint8)
    expected = ClickPredictor(ClickModelSegmenter(tiny_click_vit().eval()))
    expected.set_image(image)
    for row, col, positive in ((40, 60, True), (30, 70, True), (90, 5.5, False)):
        expected.click(row, col, positive)
    middle = float(np.median(expected.probability))  # a random model: somewhere, so that both sides occur
    for body in (request(image, threshold=middle), json.dumps(request(image, threshold=middle))):
        response = main.handler(context, SimpleNamespace(body=body))
        assert (response.status_code, response.content_type) == (200, "application/json")
        answer = json.loads(response.body)
        mask = np.array(answer["mask"], dtype=bool)
        np.testing.assert_array_equal(mask, expected.probability > middle)
        assert 0 < mask.mean() < 1
        assert all(mask[y, x] for x, y in answer["points"])
        assert len(answer["points"]) > 2


def test_an_outline() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:5, 3:9] = mask[10:18, 10:25] = True
    spec = importlib.util.spec_from_file_location("cvat_main", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sorted(module.outline(mask)) == [[10, 10], [10, 17], [24, 10], [24, 17]]
    assert module.outline(np.zeros((4, 4), dtype=bool)) == []


@pytest.mark.parametrize(
    "changes", [{"pos_points": [[500, 1]]}, {"image": "AAAA"}, {"pos_points": [1]}, {"threshold": "much"}]
)
def test_bad_requests_get_a_message(main, context, changes) -> None:
    body = request(np.zeros((100, 120, 3), dtype=np.uint8), **changes)
    response = main.handler(context, SimpleNamespace(body=body))
    assert response.status_code == 400
    assert json.loads(response.body)["message"]


def test_the_function_names_its_handler(main) -> None:
    function = yaml.safe_load((FOLDER / "function.yaml").read_text(encoding="utf-8"))
    module, name = function["spec"]["handler"].split(":")
    assert (FOLDER / f"{module}.py").is_file()
    assert callable(getattr(main, name))
    assert function["metadata"]["annotations"]["type"] == "interactor"
    assert [one["name"] for one in function["spec"]["env"]] == ["MODEL"]

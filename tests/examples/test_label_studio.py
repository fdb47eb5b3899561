"""The Label Studio backend on a request of the form that it sends, with a small base class."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.predictor import ClickPredictor

FILE = Path(__file__).parents[2] / "examples" / "label_studio" / "model.py"


class Base:
    """What the backend uses of LabelStudioMLBase."""

    def get_first_tag_occurence(self, control: str, thing: str) -> tuple[str, str, str]:
        assert (control, thing) == ("BrushLabels", "Image")
        return "tag", "image", "image"

    def get_local_path(self, url: str, task_id: int | None = None) -> str:
        assert task_id == 7
        return url


@pytest.fixture
def backend(monkeypatch):
    fake = ModuleType("label_studio_ml.model")
    fake.LabelStudioMLBase = Base
    monkeypatch.setitem(sys.modules, "label_studio_ml", ModuleType("label_studio_ml"))
    monkeypatch.setitem(sys.modules, "label_studio_ml.model", fake)
    spec = importlib.util.spec_from_file_location("label_studio_model", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decode(rle: list[int]) -> np.ndarray:
    """Bytes of the image, read bit by bit as the format is described."""
    bits, at = "".join(f"{byte:08b}" for byte in rle), 0

    def read(width: int) -> int:
        nonlocal at
        at += width
        return int(bits[at - width : at], 2)

    count, word = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    found: list[int] = []
    while len(found) < count:
        run = read(1)
        length = read(widths[read(2)]) + 1
        found += [read(word)] * length if run else [read(word) for _ in range(length)]
    assert len(found) == count
    assert len(bits) - at < 8
    return np.array(found)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 50), (300, 260)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_brushes_decode_to_the_mask(backend, shape, share) -> None:
    mask = np.random.default_rng(0).random(shape) < share
    image = decode(backend.brush_rle(mask)).reshape(*shape, 4)
    np.testing.assert_array_equal(image, np.repeat(mask[..., None] * 255, 4, axis=2))


def keypoint(x: float, y: float, **more: object) -> dict[str, object]:
    value = {"x": x, "y": y, "width": 0.32, "keypointlabels": ["Cat"]}
    sizes = {"original_width": 120, "original_height": 100, "image_rotation": 0}
    names = {"id": "fBWv1t0S2L", "from_name": "keys", "to_name": "image", "type": "keypointlabels"}
    return {**sizes, **names, "value": value, "origin": "manual", **more}


def test_smart_keypoints(backend, tiny_click_vit, tmp_path, monkeypatch) -> None:
    image = np.random.default_rng(0).integers(256, size=(100, 120, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "cat.png")
    monkeypatch.setenv("MODEL", str(save_pretrained(tiny_click_vit(), tmp_path / "model")))
    tasks = [{"id": 7, "data": {"image": str(tmp_path / "cat.png")}}]
    model = backend.ClickBackend()
    assert model.predict(tasks) == []
    assert model.predict(tasks, {"result": []}) == []

    points = [keypoint(50, 40, is_positive=True), keypoint(100, 100, is_positive=False)]
    (prediction,) = model.predict(tasks, {"result": points})
    (result,) = prediction["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("tag", "image", "brushlabels")
    assert result["value"]["brushlabels"] == ["Cat"]
    assert (result["original_width"], result["original_height"]) == (120, 100)

    expected = ClickPredictor(ClickModelSegmenter(tiny_click_vit().eval()))
    expected.set_image(image)
    expected.click(40, 60)
    expected.click(99, 119, positive=False)
    alpha = decode(result["value"]["rle"]).reshape(100, 120, 4)[..., 3]
    np.testing.assert_array_equal(alpha > 0, expected.mask)
    assert 0 <= result["score"] <= 1

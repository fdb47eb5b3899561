"""An ONNX click model written by hand: what goes in, what comes out, and files that are none.

That a real model's file equals the model is the matter of tests/export/test_onnx.py.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mis_lightning.errors import InputError
from mis_lightning.features.pixel_cues import N_CUES
from mis_lightning.segmenters.appearance_prior import AppearancePrior
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.first_look import FirstLook, Weight
from mis_lightning.segmenters.onnx_model import OnnxClickModel
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor
from mis_lightning.segmenters.refinement import Refinement
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click, Prompt


def write(
    path: Path, inputs: tuple[str, ...] = ("image", "previous_mask", "points"), **metadata: object
) -> Path:
    """Logits = previous_mask + the red channel - the largest entry of the points."""
    shapes = (["B", 3, 4, 6], ["B", 1, 4, 6], ["B", "N", 3])
    graph = helper.make_graph(
        [
            helper.make_node("Split", [inputs[0]], ["red", "green", "blue"], axis=1, num_outputs=3),
            helper.make_node("Add", ["red", inputs[1]], ["sum"]),
            helper.make_node("ReduceMax", [inputs[2]], ["largest"], keepdims=0),
            helper.make_node("Sub", ["sum", "largest"], ["logits"]),
        ],
        "by_hand",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(inputs, shapes, strict=True)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1, 4, 6])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.save(model, path)
    return path


def test_it_is_a_click_model(tmp_path: Path) -> None:
    model = OnnxClickModel(write(tmp_path / "hand.onnx", input_size=[4, 6], opset=18))
    assert model.input_size == (4, 6)
    assert model.metadata == {"input_size": [4, 6], "opset": 18}
    crops = torch.rand(3, 4, 4, 6, dtype=torch.float64)  # as advance hands them in: views, not contiguous
    points = torch.tensor([[[1.0, 2, 0], [-1, -1, -1]]]).expand(3, 2, 3)
    with torch.inference_mode():
        logits = model(crops[:, :3], Prompt(points, crops[:, 3:]))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, (crops[:, :1] + crops[:, 3:] - 2).float())


def test_a_predictor_opens_it(tmp_path: Path) -> None:
    predictor = ClickPredictor.from_pretrained(write(tmp_path / "hand.onnx", input_size=[4, 6]), flip=False)
    assert predictor.segmenter.prediction.size == (4, 6)
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[1, 2, 0] = 255
    predictor.set_image(image)
    expected = 1 / (1 + np.exp(3 - (image[..., 0] / 255)))
    np.testing.assert_allclose(predictor.click(3, 2), expected, rtol=1e-5)
    np.testing.assert_allclose(
        predictor.click(0, 1), 1 / (1 + 1 / expected * (1 - expected) * np.exp(-expected)), rtol=1e-5
    )


def test_it_is_asked_as_its_model_recommends(tmp_path: Path) -> None:
    look = FirstLook({"node": Weight(0.5, 0.2, 1.0)}, size=(8, 8), least=2)
    appearance = AppearancePrior(1.0, (0.0,) * N_CUES, (1.0,) * N_CUES, (0.1,) * N_CUES, 0.0, 0.5)
    settings = PredictionSettings(flip=False, first_look=look, refinement=Refinement(), appearance=appearance)
    recommended = settings.to_json()
    path = write(tmp_path / "hand.onnx", input_size=[4, 6], config={"recommended": recommended})
    segmenter = open_segmenter(path)
    assert isinstance(segmenter, ClickModelSegmenter)
    assert segmenter.prediction.refinement == Refinement()
    assert segmenter.prediction.appearance == appearance
    assert segmenter.prediction.first_look == replace(look, size=None)  # the file takes one size only
    (state,) = segmenter.click([segmenter.begin(np.zeros((9, 12, 3), np.uint8))], [[Click(5, 5, True)]])
    assert segmenter.mask(state)[5, 5]
    published = open_segmenter(f"{path}:published")
    assert isinstance(published, ClickModelSegmenter)
    assert published.prediction == PredictionSettings((4, 6))


def test_another_size_is_refused(tmp_path: Path) -> None:
    model = OnnxClickModel(write(tmp_path / "hand.onnx", input_size=[4, 6]))
    with pytest.raises(InputError, match=r"images of \(4, 6\).* but got \(8, 6\)"):
        model(torch.zeros(1, 3, 8, 6), Prompt(torch.zeros(1, 2, 3), torch.zeros(1, 1, 8, 6)))


@pytest.mark.parametrize(
    ("metadata", "inputs", "named"),
    [
        ({}, None, "does not say its input size"),
        ({"input_size": 5}, None, "does not say its input size"),
        ({"input_size": ["a", "b"]}, None, "does not say its input size"),
        (
            {"input_size": [4, 6]},
            ("picture", "mask", "clicks"),
            "image, previous_mask, points .*but got picture",
        ),
    ],
)
def test_models_of_others(tmp_path: Path, metadata, inputs, named) -> None:
    path = write(tmp_path / "other.onnx", *([inputs] if inputs else []), **metadata)
    with pytest.raises(InputError, match=named) as caught:
        OnnxClickModel(path)
    assert "other.onnx" in str(caught.value)
    assert "mis export" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing at .*nowhere\.onnx"):
        ClickPredictor.from_pretrained(str(tmp_path / "nowhere.onnx"))
    whole = write(tmp_path / "hand.onnx", input_size=[4, 6]).read_bytes()
    for damaged in (b"", b"not a model\n", whole[: len(whole) // 2]):
        (tmp_path / "hand.onnx").write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"hand\.onnx (cannot be read as an ONNX model|is not a click model)"
        ):
            OnnxClickModel(tmp_path / "hand.onnx")


def test_devices(tmp_path: Path) -> None:
    path = write(tmp_path / "hand.onnx", input_size=[4, 6])
    assert ClickPredictor.from_pretrained(path, device="cpu").segmenter.device == torch.device("cpu")
    with pytest.raises(InputError, match=r"does not compute on mps.*'cpu'.*onnxruntime-gpu"):
        ClickPredictor.from_pretrained(path, device="mps")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r'needs onnxruntime: pip install "mis-lightning\[export\]"$'):
        OnnxClickModel(write(tmp_path / "hand.onnx", input_size=[4, 6]))

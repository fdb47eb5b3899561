"""Many images without a user: masks of a predictor, failures that stop nothing, nothing done twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mis_lightning.annotation.clicks_file import ClickRequests
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.segmenters.merge_tree import MergeTreeSegmenter
from mis_lightning.segmenters.prediction_settings import PredictionSettings
from mis_lightning.segmenters.predictor import ClickPredictor

CLICKS = {
    "a.png": [
        {"row": 20, "col": 30, "object": "red"},
        {"row": 50, "col": 90, "object": " green "},
        {"row": 70, "col": 20, "positive": False, "object": "red"},
    ],
    "b/c.png": [{"row": 20, "col": 30}],
    "empty.png": [],
    "bad.png": [{"row": 1, "col": 1}],
    "missing.png": [{"row": 1, "col": 1}],
    "a.PNG": [{"row": 1, "col": 1}],
    "off.png": [{"row": 1, "col": 1}, {"row": 90, "col": 1}],
}


@pytest.fixture
def requests(tmp_path, image) -> ClickRequests:
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b/c.png", "empty.png", "off.png"):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    clicks = tmp_path / "clicks.json"
    clicks.write_text(json.dumps(CLICKS), encoding="utf-8")
    return ClickRequests(clicks)


def test_the_masks_of_a_predictor_and_a_reason_for_each_failure(requests, image, net) -> None:
    answers = {request.key: request.answer(ClickModelSegmenter(net)) for request in requests}
    for key in ("a.png", "b/c.png", "empty.png"):
        for one in answers[key].record.log.objects:
            predictor = ClickPredictor(ClickModelSegmenter(net))
            predictor.set_image(image)
            for click in CLICKS[key]:
                if click.get("object", one.name).strip() == one.name:
                    predictor.click(click["row"], click["col"], click.get("positive", True))
            np.testing.assert_array_equal(answers[key].record.masks[one.id], predictor.mask)
    assert [one.name for one in answers["a.png"].record.log.objects] == ["red", "green"]
    for key, reason in (
        ("bad.png", "bad.png"),
        ("missing.png", "no image file"),
        ("off.png", r"click on the image"),
    ):
        assert answers[key].record is None
        assert reason in answers[key].failure


def test_a_failing_model_is_a_reason_too(requests) -> None:
    answer = requests[0].answer(ClickModelSegmenter(lambda image, prompt: 1 / 0))
    assert answer.failure == "ZeroDivisionError: division by zero"


def test_what_is_done_is_known_by_clicks_model_and_settings(requests, tmp_path, net, other_net) -> None:
    store, segmenter = AnnotationStore(tmp_path / "masks"), ClickModelSegmenter(net)
    for request in list(requests)[:3]:
        assert not request.is_answered(store, segmenter)
        store.write(request.key, request.answer(segmenter).record)
        assert request.is_answered(store, segmenter)
        assert not request.is_answered(store, ClickModelSegmenter(other_net))
        assert not request.is_answered(store, MergeTreeSegmenter())
        assert not request.is_answered(store, ClickModelSegmenter(net, PredictionSettings(threshold=0.4)))
        request.overlap = "keep"
        assert not request.is_answered(store, segmenter)
        request.overlap = "allow"
    assert not requests[3].is_answered(store, segmenter)

    first = requests[0]
    first.objects = (first.objects[0]._replace(clicks=first.objects[0].clicks[:1]), *first.objects[1:])
    assert not first.is_answered(store, segmenter)
    (tmp_path / "masks" / "b" / "c.png.json").write_text("{}", encoding="utf-8")
    assert not requests[1].is_answered(store, segmenter)

    requests[2].done = True
    answer = requests[2].answer(segmenter)
    assert (answer.record, answer.failure) == (None, None)

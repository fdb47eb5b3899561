"""Click logs from outside: whatever is wrong in them is an InputError, never anything else."""

from __future__ import annotations

import copy
import json
import random

import numpy as np
import pytest

from mis_lightning.annotation.log import check_name
from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.errors import InputError
from mis_lightning.segmenters.click_model import ClickModelSegmenter

HOSTILE = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 1.5, float("nan"), float("inf"), 1e308),
    *("", "a", "\ud800", "\0", "0" * 1000, [], {}, [[]], [[1, 2]] * 30, [1] * 3, {"kind": "click"}),
)


def places(content, here=()):
    """The path to every value of a JSON document."""
    yield here
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*here, key))


def test_any_change_to_a_log_is_read_or_refused(net) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    session = AnnotationSession(image, ClickModelSegmenter(net))
    for number in (1, 2):
        session.add_object()
        session.click(5, 5)
        session.scribble([[1, 1], [20, 20]], positive=False)
        session.box(1, 1, 20, 20)
        session.choose_level(3, 3, 3)
        session.load_mask(session.mask(number))
    record = session.record().to_json()
    everywhere = [place for place in places(record) if place]
    choice, read = random.Random(0), 0
    for place in everywhere * 3:
        content = inner = copy.deepcopy(record)
        for key in place[:-1]:
            inner = inner[key]
        if choice.random() < 0.2:
            del inner[place[-1]]
        else:
            inner[place[-1]] = copy.deepcopy(choice.choice(HOSTILE))
        try:
            AnnotationRecord.from_json(content)
            again = AnnotationSession.replay(content, image, ClickModelSegmenter(net))
        except InputError:
            continue
        json.dumps(again.log(), allow_nan=False).encode()
        assert again.label_map().shape == (40, 50)
        read += 1
    assert 10 < read < len(everywhere)


@pytest.mark.parametrize("name", ["cat", " cat ", "größe 猫 👩‍👧", "x" * 100, "a/b\\c"])
def test_names(name) -> None:
    assert check_name(name) == name.strip()


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "\0", "\ud800", None, 3, "\x7f"])
def test_names_that_are_none(name) -> None:
    with pytest.raises(InputError, match="name of 1 to 100"):
        check_name(name)

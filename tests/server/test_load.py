"""Twenty people at once: everybody gets their own masks, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import base64

import httpx
import numpy as np
import pytest

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from tests.server.conftest import apart

HOST = "127.0.0.1:8765"
PEOPLE = 20
CLICKS = 6


@pytest.mark.parametrize("trained", [False, True], ids=["merge tree", "network"])
def test_twenty_sessions_are_independent(make_app, photos, tiny_click_vit, trained):
    segmenter = ClickModelSegmenter(tiny_click_vit()) if trained else None
    app = make_app(segmenter=segmenter)

    def clicks(person):
        random = np.random.default_rng(person)
        rows, cols = random.integers(0, 48, CLICKS), random.integers(0, 64, CLICKS)
        return [
            (int(row), int(col), number == 0 or bool(random.integers(2)))
            for number, (row, col) in enumerate(zip(rows, cols, strict=True))
        ]

    async def work(person):
        transport = httpx.ASGITransport(app=app)
        headers = {"origin": f"http://{HOST}"}
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{HOST}", headers=headers
        ) as client:
            tab = (await client.post("/api/tabs", json={})).json()["tab"]
            lines = (await client.get(f"/api/tabs/{tab}/images")).json()
            url = f"/api/tabs/{tab}/images/{lines[person % 2]['key']}"
            state = (await client.get(url)).json()
            for row, col, positive in clicks(person):
                body = {"revision": state["revision"], "row": row, "col": col, "positive": positive}
                answer = await client.post(f"{url}/click", json=body)
                assert answer.status_code == 200, answer.text
                state = answer.json()
            return state

    async def everybody():
        return await asyncio.gather(*(work(person) for person in range(PEOPLE)))

    for person, state in enumerate(apart(everybody())):
        twin = AnnotationSession(photos / ("a.png", "sub/b.png")[person % 2], segmenter)
        twin.add_object()
        for click in clicks(person):
            twin.click(*click)
        (one,) = state["objects"]
        runs = np.frombuffer(base64.b64decode(one["mask"]["runs"]), "<u4").reshape(-1, 2)
        mask = np.zeros(twin.shape, bool)
        for first, last in runs:
            mask.ravel()[first:last] = True
        np.testing.assert_array_equal(mask, twin.mask(), err_msg=f"person {person}")

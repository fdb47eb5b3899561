"""``mis bench page``: memory of ``mis annotate`` with a large photograph open, and time of its clicks.

The server runs as it is, in a process of its own; a client clicks as a browser does. The photograph is a
bundled one, enlarged. Memory is the kernel's account of the process (Linux only). What an undone click keeps
is measured in this process, with the same model: the bytes of a packed state that no other state holds.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.bench.compare import status_kibibytes
from mis_lightning.bench.figure import Figure, report
from mis_lightning.bench.refine import PHOTOGRAPH
from mis_lightning.data.bundled import bundled_images
from mis_lightning.errors import InputError
from mis_lightning.images import read_image
from mis_lightning.models.shipped import DEFAULT
from mis_lightning.segmenters.click_state import ClickState
from mis_lightning.segmenters.registry import open_segmenter
from mis_lightning.structures import Click

RESIDENT_GOAL = 1024.0  # MiB
STATE_GOAL = 256.0  # kB
CLICKS = ((0.5, 0.5, True), (0.3, 0.5, True), (0.1, 0.1, False), (0.6, 0.6, True), (0.9, 0.2, False))


def main(argv: Sequence[str]) -> int:
    """Run ``mis bench page``.

    Raises:
        InputError: An option is out of range, this is not Linux, or the server does not start.
    """
    options = argparse.ArgumentParser(prog="mis bench page", description=__doc__.split("\n")[0])
    options.add_argument("--megapixels", type=float, default=12.0, help="default: %(default)s")
    options.add_argument("--model", default=DEFAULT, help="as in mis annotate (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    given = options.parse_args(argv)
    if not 0.01 <= given.megapixels <= 200:
        raise InputError(f"Expected --megapixels in 0.01..200, but got {given.megapixels}.")
    if not Path("/proc/self/status").exists():
        raise InputError("Expected Linux, which reports the memory of a process.")
    image = photograph(given.megapixels)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        images.mkdir()
        cv2.imwrite(str(images / "photograph.jpg"), image[..., ::-1])
        figures = measure_server(images, given.model)
    report([*figures, measure_state(image, given.model)], vars(given), given.json)
    return 0


def photograph(megapixels: float) -> NDArray[np.uint8]:
    """A bundled photograph of about so many pixels, RGB, uint8, ``(H, W, 3)``."""
    small = read_image(next(path for path in bundled_images() if path.name == PHOTOGRAPH))
    factor = math.sqrt(1e6 * megapixels / (small.shape[0] * small.shape[1]))
    height, width = (round(side * factor) for side in small.shape[:2])
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def measure_server(images: Path, model: str) -> list[Figure]:
    """Open the one image of a folder on the page, and click."""
    with served(images, model) as (process, address):
        browser = build_opener(HTTPCookieProcessor(CookieJar()))

        def ask(method: str, path: str, content: Any = None) -> Any:
            body = None if content is None else json.dumps(content).encode()
            headers = {"content-type": "application/json", "origin": address}
            with browser.open(Request(address + path, body, headers, method=method)) as answer:
                return json.loads(answer.read())

        tab = ask("POST", "/api/tabs", {})["tab"]
        (line,) = ask("GET", f"/api/tabs/{tab}/images")
        here = f"/api/tabs/{tab}/images/{line['key']}"
        with browser.open(f"{address}/api/images/{line['key']}/picture") as answer:
            answer.read()
        state = ask("GET", here)
        height, width = state["height"], state["width"]
        resident, seconds = [status_kibibytes("VmRSS", process)], []
        for row, col, positive in CLICKS:
            place = {"row": row * (height - 1), "col": col * (width - 1), "positive": positive}
            began = perf_counter()
            state = ask("POST", here + "/click", {"revision": state["revision"], **place})
            seconds.append(perf_counter() - began)
            resident.append(status_kibibytes("VmRSS", process))
        peak, libraries = status_kibibytes("VmHWM", process), status_kibibytes("RssFile", process)
    what = f"mis annotate, {height}x{width}"
    return [
        Figure(f"{what}, before the first click", resident[0] / 1024, "MiB", RESIDENT_GOAL),
        Figure("  after the first click", resident[1] / 1024, "MiB", RESIDENT_GOAL),
        Figure(f"  after {len(CLICKS)} clicks", resident[-1] / 1024, "MiB", RESIDENT_GOAL),
        Figure("  of that code of libraries, which processes share", libraries / 1024, "MiB"),
        Figure("  at most", peak / 1024, "MiB"),
        Figure("  the first click", 1e3 * seconds[0], "ms"),
        Figure("  a later click", 1e3 * median(seconds[1:]), "ms"),
    ]


@contextmanager
def served(images: Path, model: str) -> Iterator[tuple[int, str]]:
    """``mis annotate`` on a free port: the id of its process, and its address."""
    words = ["annotate", str(images), "--port", "0", "--model", model]
    command = [sys.executable, "-m", "mis_lightning", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            for text in process.stdout:
                if text.strip().startswith("http://"):
                    yield process.pid, text.strip().rstrip("/")
                    break
            else:
                raise InputError(f"`mis {' '.join(words)}` ended before it served the page.")
        finally:
            process.terminate()


def measure_state(image: NDArray[np.uint8], model: str) -> Figure:
    """What an undone click keeps beside the states before it."""
    segmenter = open_segmenter(model)
    height, width = image.shape[:2]
    state, states = segmenter.begin(image), []
    for row, col, positive in CLICKS:
        (state,) = segmenter.click([state], [[Click(row * (height - 1), col * (width - 1), positive)]])
        states.append(segmenter.pack(state))
    kilobytes = median(own_bytes(after, before) / 1e3 for before, after in pairwise(states))
    return Figure(f"an undone click, {height}x{width}", kilobytes, "kB", STATE_GOAL)


def own_bytes(state: ClickState, before: ClickState) -> int:
    """Bytes of the maps of a packed state that the state before does not share."""
    shared = {id(value) for value in vars(before).values()}
    total = 0
    for value in vars(state).values():
        if id(value) not in shared and isinstance(value, Tensor):
            total += value.nbytes
        elif isinstance(value, bytes):
            total += len(value)
    return total

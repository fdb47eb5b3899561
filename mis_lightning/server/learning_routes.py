"""Learning from what is saved: how far it is, its switch, and the learned model to take away."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from fastapi import HTTPException, Response

from mis_lightning.learning.workbench import Workbench
from mis_lightning.server import messages
from mis_lightning.server.context import InServer, OfSession, api_router

router = api_router()


class Switch(messages.Question):
    """Whether to learn from now on."""

    on: bool


class Learning(messages.Answer):
    """How far learning is (:class:`~mis_lightning.learning.workbench.LearningStatus`).

    Attributes:
        can: Whether the model can learn at all.
    """

    can: bool
    on: bool = False
    objects: int = 0
    waiting: int = 0
    weights: bool = False
    clicks: tuple[int, ...] = ()
    problem: str = ""


@router.get("/learning")
async def learning(server: InServer, session: OfSession) -> Learning:
    """How far it is."""
    bench = server.shared.learning
    return Learning(can=False) if bench is None else _told(bench)


@router.put("/learning")
async def switch(asked: Switch, server: InServer, session: OfSession) -> Learning:
    """Learn from now on, or not."""
    bench = _bench(server)
    await server.read(lambda: bench.switch(asked.on))
    return _told(bench)


@router.delete("/learning")
async def reset(server: InServer, session: OfSession) -> Learning:
    """Forget everything."""
    bench = _bench(server)
    await server.read(bench.reset)
    return _told(bench)


@router.get("/learning/model", response_class=Response)
async def model(server: InServer, session: OfSession) -> Response:
    """The model folder as it is now, zipped."""
    bench = _bench(server)

    def packed() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            written = bench.export(Path(folder) / "learned")
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
                for path in sorted(written.iterdir()):
                    archive.write(path, f"learned/{path.name}")
        return buffer.getvalue()

    data = await server.read(packed)
    headers = {"content-disposition": 'attachment; filename="learned.zip"', "cache-control": "no-store"}
    return Response(data, media_type="application/zip", headers=headers)


def _bench(server: InServer) -> Workbench:
    if server.shared.learning is None:
        raise HTTPException(404, f"{server.model_name} cannot learn: it has no weights.")
    return server.shared.learning


def _told(bench: Workbench) -> Learning:
    status = bench.status
    return Learning(
        can=True,
        on=status.on,
        objects=status.objects,
        waiting=status.waiting,
        weights=status.weights,
        clicks=status.clicks[-500:],
        problem=status.problem,
    )

"""What is done to the active object by hand, and the classes of objects."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.server import messages
from mis_lightning.server.context import IMAGE, InServer, Number, OfImageInTab, OfTab, api_router

router = api_router()

ClickIndex = Annotated[int, Path(ge=0, le=1 << 20)]


class Brush(messages.Line):
    """A stroke."""

    radius: Annotated[float, Field(ge=0.5, le=2048, allow_inf_nan=False)]


class Tidy(messages.Change):
    """The mask is made tidier; ``radius``: of smoothing, in pixels."""

    what: Literal["smooth", "fill", "specks"]
    radius: Annotated[float, Field(ge=0.5, le=64, allow_inf_nan=False)] = 2.0


class Move(messages.Change):
    """A new place for a click, in pixels of the image."""

    row: messages.Position
    col: messages.Position


@router.post(IMAGE + "/brush")
async def brush(asked: Brush, here: OfImageInTab) -> messages.State:
    """Paint, or erase, along a line."""
    return await here.act(asked, lambda session: session.brush(asked.points, asked.radius, asked.positive))


@router.post(IMAGE + "/polygon")
async def polygon(asked: messages.Line, here: OfImageInTab) -> messages.State:
    """Fill a polygon, or cut it out."""
    return await here.act(asked, lambda session: session.polygon(asked.points, asked.positive))


@router.post(IMAGE + "/tidy")
async def tidy(asked: Tidy, here: OfImageInTab) -> messages.State:
    """Smooth the border, fill the holes or drop the specks of the active object."""
    if asked.what == "smooth":
        return await here.act(asked, lambda session: session.smooth_border(asked.radius))
    if asked.what == "fill":
        return await here.act(asked, lambda session: session.fill_holes())
    return await here.act(asked, lambda session: session.drop_specks())


@router.patch(IMAGE + "/clicks/{index}")
async def move_click(index: ClickIndex, asked: Move, here: OfImageInTab) -> messages.State:
    """Move a click of the active object."""
    return await here.change(asked, lambda session: session.move_click(index, asked.row, asked.col))


@router.delete(IMAGE + "/clicks/{index}")
async def delete_click(index: ClickIndex, asked: messages.Change, here: OfImageInTab) -> messages.State:
    """Take a click of the active object away."""
    return await here.change(asked, lambda session: session.delete_click(index))


@router.post("/tabs/{tab}/classes")
async def add_class(asked: messages.NewClass, server: InServer, workspace: OfTab) -> list[str]:
    """Add a class for all images; the answer is all of them."""
    return list(await server.compute(workspace, lambda: server.shared.results.add_classes([asked.name])))


@router.put(IMAGE + "/objects/{number}/class")
async def classify(number: Number, asked: messages.Classify, here: OfImageInTab) -> messages.State:
    """Choose the class of an object."""
    results = here.server.shared.results

    def choose(session: AnnotationSession) -> None:
        here.set_category(session, number, asked.category)
        if asked.category is not None:
            results.add_classes([asked.category])

    return await here.change(asked, choose)

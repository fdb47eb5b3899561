"""Which action each click in effect comes from, so that it can be moved and taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from mis_lightning.annotation.actions import (
    Action,
    BoxAction,
    CarryAction,
    ClickAction,
    GranularityAction,
    LevelAction,
    LookAction,
    MaskAction,
    ScribbleAction,
)
from mis_lightning.annotation.drawn_actions import DrawnAction, takes_away
from mis_lightning.errors import InputError
from mis_lightning.structures import Click


class MadeClick(NamedTuple):
    """A click in effect.

    Attributes:
        click: The click.
        action: Index of the action that made it.
        point: Which of the clicks of that action it is.
    """

    click: Click
    action: int
    point: int


def clicks_after(
    before: tuple[MadeClick, ...], index: int, action: Action, shape: tuple[int, int]
) -> tuple[MadeClick, ...]:
    """The clicks in effect after one more action.

    A box, a level, a mask or what was carried starts over. A brush or a polygon takes away the clicks of the
    other sign that it covers: what was said last about a pixel holds.

    Args:
        before: Those before it.
        index: Of the action.
        action: The action.
        shape: ``(H, W)`` of the image.

    Raises:
        InputError: The action is not on the image.
    """
    if isinstance(action, (ClickAction, ScribbleAction)):
        return (*before, *(MadeClick(click, index, k) for k, click in enumerate(action.clicks(shape))))
    if isinstance(action, CarryAction):
        return tuple(MadeClick(click, index, k) for k, click in enumerate(action.clicks(shape)))
    if isinstance(action, BoxAction):
        return (MadeClick(action.box(shape).centre, index, 0),)
    if isinstance(action, LevelAction):
        return (MadeClick(action.click(shape), index, 0),)
    if isinstance(action, MaskAction):
        return ()
    if isinstance(action, DrawnAction):
        drawn = action.drawn(shape)
        return tuple(made for made in before if not takes_away(action, drawn, made.click))
    return before


def without_click(actions: tuple[Action, ...], made: MadeClick) -> tuple[Action, ...]:
    """The actions without one of their clicks.

    Raises:
        InputError: It is not a click of its own.
    """
    action = actions[made.action]
    rest: tuple[Action, ...] = ()
    if isinstance(action, ScribbleAction):
        points = tuple(point for k, point in enumerate(action.points) if k != made.point)
        rest = (replace(action, points=points, line=()),) if points else ()
    elif not isinstance(action, ClickAction):
        raise _fixed(action)
    return (*actions[: made.action], *rest, *_after_looks(actions, made.action))


def with_click_at(actions: tuple[Action, ...], made: MadeClick, row: float, col: float) -> tuple[Action, ...]:
    """The actions with one of their clicks at another place.

    Raises:
        InputError: It is not a click of its own.
    """
    action = actions[made.action]
    moved: Action
    if isinstance(action, ScribbleAction):
        points = list(action.points)
        points[made.point] = (row, col)
        moved = replace(action, points=tuple(points), line=())
    elif isinstance(action, ClickAction):
        moved = replace(action, row=row, col=col)
    else:
        raise _fixed(action)
    return (*actions[: made.action], moved, *_after_looks(actions, made.action))


def _after_looks(actions: tuple[Action, ...], index: int) -> tuple[Action, ...]:
    """What follows an action, without the choice among the answers that it had, of whatever size."""
    following = actions[index + 1 :]
    sizes: tuple[Action, ...] = ()
    while following and isinstance(following[0], (LookAction, GranularityAction)):
        sizes += () if isinstance(following[0], LookAction) else following[:1]
        following = following[1:]
    return (*sizes, *following)


def _fixed(action: Action) -> InputError:
    what = {
        "box": "the middle of a box",
        "level": "the place of a region",
        "carry": "the middle of the object carried here",
    }[action.kind]
    return InputError(f"Expected a click that was placed by hand, but this is {what}: undo it instead.")

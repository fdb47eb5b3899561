"""Undo and redo against two plain lists, over random moves."""

from __future__ import annotations

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.segmenters.history import History


def test_any_moves_agree_with_two_lists() -> None:
    random = np.random.default_rng(0)
    packed: set[int] = set()

    def pack(state: int) -> int:
        packed.add(state)
        return -state

    history = History(1, pack, abs)
    done, undone = [1], []
    for number in range(2, 400):
        move = random.random()
        if move < 0.5:
            history.push(number)
            done.append(number)
            undone.clear()
        elif move < 0.75:
            if len(done) > 1:
                history.undo()
                undone.append(done.pop())
            else:
                with pytest.raises(InputError, match="undo"):
                    history.undo()
        elif move < 0.98:
            if undone:
                history.redo()
                done.append(undone.pop())
            else:
                with pytest.raises(InputError, match="redo"):
                    history.redo()
        else:
            history.reset()
            done, undone = [1], []
        assert history.state == done[-1]
        assert abs(history.kept) == done[-1]
        assert (history.undoable, history.redoable) == (len(done) - 1, len(undone))
        assert all(state < 0 for k, state in enumerate(history._states) if k != history._position)
    assert packed

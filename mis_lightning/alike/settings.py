"""How objects alike are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mis_lightning.errors import InputError


@dataclass(frozen=True)
class AlikeSettings:
    """How objects like the marked ones are looked for.

    Attributes:
        radius: Of a marked object, in leaves: images are scaled down until theirs is as small, never up.
        price: An expected IoU that a proposal must exceed.
        weight: Power of a node's size in what it is worth: 0, each counts alike; 1, each leaf does.
        blur: Width of the blur of the depth, in leaves.
        trees: Of each forest.
        contrasts: Contrasts that the marked objects might have instead of their own.
        rounds: Of learning: from the second on also from what was found with much certainty on the images
            of the marked objects.
        seed: Of the forests.
    """

    radius: float = 12.0
    price: float = 0.25
    weight: float = 0.5
    blur: float = 1.0
    trees: int = 30
    contrasts: tuple[float, ...] = (0.5, 0.7, 1.0, 1.0, 1.4, 2.0)
    rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.radius >= 2 and 0 <= self.price < 1 and 0 <= self.weight <= 1):
            raise InputError(
                "Expected `radius` of at least 2, `price` in [0, 1) and `weight` in [0, 1] to find similar "
                f"objects, but got {self.radius}, {self.price} and {self.weight}."
            )
        if not (self.blur >= 0 and self.trees >= 1 and self.rounds >= 1):
            raise InputError(
                "Expected `blur` of at least 0, and `trees` and `rounds` of at least 1, to find similar "
                f"objects, but got {self.blur}, {self.trees} and {self.rounds}."
            )
        if not (self.contrasts and all(0 < one < np.inf for one in self.contrasts)):
            raise InputError(
                f"Expected `contrasts` above 0 to find similar objects, but got {self.contrasts}."
            )

"""All like this: from a few marked objects, proposals of the others, each with a score."""

from mis_lightning.alike.model import AlikeModel, AlikeSettings, MarkedImage, Proposal
from mis_lightning.alike.propose import propose

__all__ = ["AlikeModel", "AlikeSettings", "MarkedImage", "Proposal", "propose"]

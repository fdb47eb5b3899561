"""All like this: from a few marked objects, proposals of the others, each with a score."""

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.proposal import Proposal
from mis_lightning.alike.propose import propose
from mis_lightning.alike.settings import AlikeSettings

__all__ = ["AlikeModel", "AlikeSettings", "MarkedImage", "Proposal", "propose"]

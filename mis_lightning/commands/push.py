"""``mis push``: publish a model on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mis_lightning.commands import options
from mis_lightning.export.model_card import CardFacts
from mis_lightning.export.publish import check_name, stage, upload
from mis_lightning.models.pretrained import load_pretrained


def main(args: Sequence[str]) -> int:
    """Run ``mis push MODEL OWNER/NAME``.

    Raises:
        InputError: No such model, a name or a fact that does not fit, or the hub refuses.
    """
    given = options.push().parse_args(args)
    check_name(given.name)
    facts = CardFacts(given.licence, given.data, given.recipe, given.results)
    model = load_pretrained(given.model)
    unsaid = [f"--{key}" for key in ("licence", "data", "recipe", "results") if getattr(given, key) is None]
    if unsaid:
        print(f"not stated on the card: {', '.join(unsaid)}")
    if given.dry_run is not None:
        folder = stage(model, given.dry_run, given.name, facts)
        print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}; nothing was uploaded")
        return 0
    with TemporaryDirectory() as temporary:
        address = upload(
            stage(model, Path(temporary), given.name, facts), given.name, given.private, given.message
        )
    print(f"{address}\nuse: ClickPredictor.from_pretrained({given.name!r})")
    return 0

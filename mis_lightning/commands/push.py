"""``mis push``: publish a model on the hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mis_lightning.export.model_card import CardFacts
from mis_lightning.export.publish import check_name, stage, upload
from mis_lightning.models.pretrained import load_pretrained


def main(args: Sequence[str]) -> int:
    """Run ``mis push MODEL OWNER/NAME``.

    Raises:
        InputError: No such model, a name or a fact that does not fit, or the hub refuses.
    """
    parser = argparse.ArgumentParser(
        prog="mis push",
        description="Publish a model on the hub: model.safetensors, config.json and a model card. Afterwards "
        "ClickPredictor.from_pretrained('owner/name') works anywhere.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="a model folder, a .ckpt of `mis fit`, or owner/name on the hub")
    parser.add_argument("name", metavar="owner/name", help="name of the repository on the hub")
    parser.add_argument("--licence", metavar="ID", help="of the weights, e.g. apache-2.0, cc-by-nc-4.0")
    parser.add_argument("--data", metavar="TEXT", help="what the model was trained on")
    parser.add_argument(
        "--recipe", type=Path, metavar="CONFIG", help="config.yaml of the training run; paths are shortened"
    )
    parser.add_argument(
        "--results", type=Path, metavar="JSON", help="results.json of `mis test` with this model"
    )
    parser.add_argument("--private", action="store_true", help="a new repository is for its owner only")
    parser.add_argument("--message", help="of the commit")
    parser.add_argument(
        "--dry-run", type=Path, metavar="DIR", help="write exactly what would be uploaded there, and stop"
    )
    given = parser.parse_args(args)
    check_name(given.name)
    facts = CardFacts(given.licence, given.data, given.recipe, given.results)
    model = load_pretrained(given.model)
    unsaid = [f"--{key}" for key in ("licence", "data", "recipe", "results") if getattr(given, key) is None]
    if unsaid:
        print(f"the card leaves open: {', '.join(unsaid)}")
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

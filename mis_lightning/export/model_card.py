"""The model card: what the model is, how to use it, how it was trained and how well it performs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from mis_lightning import __version__
from mis_lightning.errors import InputError
from mis_lightning.licences import recalled
from mis_lightning.metrics.paper_tables import read_results
from mis_lightning.metrics.report import BenchmarkSummary, format_table
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import describe

TASK = "mask-generation"
"""The hub's name of what a click model does."""
LEFT_OUT = {
    "trainer": {"callbacks", "logger", "default_root_dir", "plugins", "profiler"},
    "data": {"store", "clicks", "val_benchmarks", "test_benchmarks", "num_workers"},
}
"""Keys of a config that say where things lie or how they are looked at, not how a model was trained."""

BODY = """
# {title}

A click model: image, clicks and the previous mask in, a mask out; each further click corrects it.
{architecture}, {weights:.1f} M weights, {height} × {width} pixels of input, clicks drawn as disks of radius
{radius}. Made with mis_lightning {version}.

## Use

```python
from mis_lightning import ClickPredictor

predictor = ClickPredictor.from_pretrained("{name}")
predictor.set_image("photo.jpg")  # a path, a PIL image or an array
probability = predictor.click(row=120, col=80)  # float32 (H, W); positive=False takes away
mask = predictor.mask  # bool (H, W)
```

## Intended use

Outlining objects, parts and regions by hand with few clicks, and research on interactive segmentation.

## Limits

* It answers clicks and nothing else: it knows no classes and finds nothing by itself.
* It sees the image, or the crop around the object, at {height} × {width} pixels; what is thinner than a few
  of those is lost.
* Images unlike its training data need more clicks. A mask is a draft until a person has looked at it; nothing
  here was tested for medical or safety decisions.

## Training data

{data}

## Recipe

{recipe}

## Metrics

{metrics}

## Licence

{licence}
"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says beyond what the model itself tells; where it is ``None``, the card says so.

    Attributes:
        licence: Of the weights, by the hub's identifier, e.g. ``"apache-2.0"``.
        data: What the model was trained on.
        recipe: The ``config.yaml`` of the training run; paths in it are shortened to their last part.
        results: The ``results.json`` of a test of this model.
    """

    licence: str | None = None
    data: str | None = None
    recipe: Path | None = None
    results: Path | None = None


def model_card(model: ClickNetwork, name: str, facts: CardFacts) -> str:
    """Write the card.

    Args:
        model: The model.
        name: ``owner/name`` on the hub.
        facts: What else is known.

    Returns:
        Markdown with the hub's front matter.

    Raises:
        InputError: A file among the facts cannot be read, or holds the results of another model.
    """
    from huggingface_hub import EvalResult, ModelCardData

    metrics, results = "Not measured.", []
    if facts.results is not None:
        rows, metrics = _metrics(facts.results, model)
        results = [
            EvalResult(TASK, row.benchmark.lower(), row.benchmark, key, round(value, 4))
            for row in rows
            for key, value in row.values.items()
            if key.startswith(("noc@", "iou@"))
        ]
    title = name.split("/")[-1]
    front = ModelCardData(
        license=facts.licence or "unknown",
        library_name="mis_lightning",
        pipeline_tag=TASK,
        tags=["interactive-segmentation", "image-segmentation"],
        model_name=title,
        eval_results=results or None,
    )
    body = BODY.format(
        title=title,
        name=name,
        version=__version__,
        architecture=describe(model)["architecture"],
        weights=sum(value.numel() for value in model.state_dict().values()) / 1e6,
        height=model.input_size[0],
        width=model.input_size[1],
        radius=model.config.get("click_radius", "unknown"),
        data=facts.data or "Not stated.",
        recipe="Not stated." if facts.recipe is None else _recipe(facts.recipe),
        metrics=metrics,
        licence=f"Weights: {facts.licence or 'not stated, so nobody may reuse them yet'}. "
        f"The code that runs them: Apache-2.0.{_made_from(model)}",
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"


def _made_from(model: ClickNetwork) -> str:
    """What the weights were made from, under which terms; empty where that is not known."""
    used = recalled(model.made_from)
    if not used:
        return ""
    lines = "\n".join(f"* {licence}" for licence in used)
    return f"\n\nMade with, each under its own terms, which may bind the weights, too:\n\n{lines}"


def _metrics(path: Path, model: ClickNetwork) -> tuple[list[BenchmarkSummary], str]:
    (result,) = read_results(path)[:1]
    content = json.loads(result.path.read_text(encoding="utf-8"))
    settings = content["settings"]
    tested = settings.get("model")
    if tested and {"architecture": "ClickViT", **tested} != json.loads(json.dumps(describe(model))):
        raise InputError(f"The results in {result.path} are of a model of another shape: {tested}.")
    budget = int(content.get("max_clicks", 20))
    rows = [
        BenchmarkSummary(
            benchmark,
            {key: value for key, value in values.items() if value is not None},
            content["benchmarks"][benchmark].get("intervals", {}),
            budget,
        )
        for benchmark, values in result.values.items()
    ]
    table = format_table(rows, "markdown", with_intervals=True)
    others = [name for name in result.values if not result.comparable.get(name)]
    notes = "NoC@t: mean number of clicks of a simulated user until the overlap reaches t"
    notes += f" (at most {budget}; failures count as {budget}); in brackets 95 % bootstrap intervals."
    if others:
        notes += f" Not the complete published set: {', '.join(others)}."
    asked = settings.get("evaluation")
    if isinstance(asked, Mapping):
        notes += f" Settings: {json.dumps(dict(asked))}."
    return rows, f"{table}\n\n{notes}"


def _recipe(path: Path) -> str:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The recipe {path} cannot be read: {error}") from error
    if not isinstance(config, Mapping) or not isinstance(config.get("model"), Mapping):
        raise InputError(f"Expected the config.yaml of a run of `mis fit` in {path}, with a key `model`.")
    kept: dict[str, Any] = {}
    if "seed_everything" in config:
        kept["seed_everything"] = config["seed_everything"]
    for part in ("trainer", "model", "data"):
        entries = config.get(part)
        if isinstance(entries, Mapping):
            skip = LEFT_OUT.get(part, set())
            kept[part] = {
                key: _public(value) for key, value in entries.items() if value is not None and key not in skip
            }
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return f"The configuration of the run; paths are shortened.\n\n```yaml\n{text}```"


def _public(value: Any) -> Any:
    """The value with every path that tells of a machine reduced to its last part.

    >>> _public({"images": "/home/alice/cats", "size": [448, 448], "rate": "1/2"})
    {'images': 'cats', 'size': [448, 448], 'rate': '1/2'}
    """
    if isinstance(value, Mapping):
        return {str(key): _public(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    if isinstance(value, str):
        if PureWindowsPath(value).drive:
            return PureWindowsPath(value).name
        if value.startswith(("/", "~", "..")):
            return PurePosixPath(value).name
    return value

"""Where a run, or how it was evaluated, differs from the recipe of its row in the paper's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from mis_lightning.commands.config_files import FOLDER
from mis_lightning.data.benchmarks import BENCHMARKS
from mis_lightning.metrics.paper_tables import Result

_NOT_OF_THE_RECIPE = (
    *("seed_everything", "trainer", "model.initial_weights", "data.images", "data.num_workers"),
    *("data.test_benchmarks", "data.val_benchmarks", "data.regions.extractor.checkpoint"),
)
_OF_THE_TRAINER = {
    **{"max_steps": -1, "limit_train_batches": None, "overfit_batches": 0.0, "accumulate_grad_batches": 1},
    **{"max_epochs": 55, "gradient_clip_val": None, "precision": "32-true"},
}


def differences(result: Result, fit: Sequence[str]) -> list[str]:
    """The dotted keys whose values are not those of the recipe, of those that the result tells.

    Args:
        result: With its config and how it was evaluated.
        fit: Options of ``mis fit`` that make such a run.
    """
    # They need PyTorch, which help pages do without.
    from mis_lightning.evaluation.published_size import USUAL
    from mis_lightning.evaluation.simulation import EvaluationSettings
    from mis_lightning.segmenters.prediction_settings import UNPUBLISHED, PredictionSettings

    recipe = _leaves(_recipe(fit))
    wanted = {key: value for key, value in recipe if not key.startswith(_NOT_OF_THE_RECIPE)}
    wanted |= {f"trainer.{key}": value for key, value in _OF_THE_TRAINER.items()}
    had = dict(_leaves(result.config))
    found = [key for key, value in wanted.items() if key in had and had[key] != value]
    asked, published = result.evaluation, {**dict.fromkeys(UNPUBLISHED), **PredictionSettings().to_json()}
    del published["size"]  # is that of the benchmark
    published["max_clicks"] = EvaluationSettings().max_clicks
    wrong = [key for key, value in published.items() if key in asked and asked[key] != value]
    sizes = (getattr(BENCHMARKS.get(name), "published_size", None) or USUAL for name in result.values)
    if "size" in asked and any(asked["size"] != list(size) for size in sizes):
        wrong.append("size")
    return found + [f"evaluation.{key}" for key in wrong]


def _recipe(fit: Sequence[str]) -> dict[str, Any]:
    """The configs and options, the later ones over the earlier ones."""
    merged: dict[str, Any] = {}
    for option in fit:
        key, _, value = option.removeprefix("--").partition("=")
        if key == "config":
            part = yaml.safe_load((FOLDER / f"{value}.yaml").read_text(encoding="utf-8"))
        else:
            part = yaml.safe_load(value)
            for name in reversed(key.split(".")):
                part = {name: part}
        merged = _merged(merged, part)
    return merged


def _merged(before: Any, after: Any) -> Any:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return after
    if before.get("class_path") != after.get("class_path", before.get("class_path")):
        return dict(after)  # another class has other arguments
    return {**before, **{key: _merged(before.get(key), value) for key, value in after.items()}}


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; keys without ``init_args``, which a config may leave out of data classes."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            inner = name if key == "init_args" else f"{name}.{key}" if name else str(key)
            yield from _leaves(value, inner)
    else:
        yield name, node

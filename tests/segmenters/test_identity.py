"""Names of models: the same for the same weights, another for any change."""

from __future__ import annotations

import torch

from mis_lightning.segmenters.identity import model_identity


def answer_nothing(image, prompt):
    return prompt.previous_mask


class Net(torch.nn.Linear):
    pass


def test_names(tiny_click_vit) -> None:
    net, other_net = Net(2, 3), Net(2, 3)
    names = [
        model_identity(model)
        for model in (net, other_net, answer_nothing, tiny_click_vit(), tiny_click_vit(seed=1))
    ]
    assert len(set(names)) == 5
    assert names[0].startswith("Net-")
    assert names[2].endswith("answer_nothing")
    assert model_identity(tiny_click_vit()) == names[-2]
    # the config counts, also where it changes no weight
    assert model_identity(tiny_click_vit(click_radius=5.0)) != names[-2]
    model = tiny_click_vit()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-6
    assert model_identity(model) != names[-2]
    assert model_identity(tiny_click_vit().bfloat16()) != names[-2]


def test_a_model_may_name_itself() -> None:
    class Exported:
        identity = "onnx-12"

        def __call__(self, image, prompt):
            return prompt.previous_mask

    assert model_identity(Exported()) == "onnx-12"

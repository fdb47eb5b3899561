"""Keys of the last block and the other ways to bring an image to whole patches.

Rules: docs/protocol.md#tokencut, docs/protocol.md#deep-spectral-methods.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.errors import InputError
from mis_lightning.features.scaling import scale_image
from mis_lightning.features.vit import ViTFeatures

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 71, 3), np.uint8)


def test_keys_are_those_of_the_last_block():
    extractor = ViTFeatures("vit_tiny_patch16_224", pretrained=False, output="keys")
    features, grid = extractor(IMAGE)
    model, seen = extractor.model, {}
    model.blocks[-1].attn.register_forward_hook(lambda _m, inputs, _o: seen.update(x=inputs[0]))
    plain = ViTFeatures("vit_tiny_patch16_224", pretrained=False)
    plain.model = model
    plain(IMAGE)
    weight, bias = model.blocks[-1].attn.qkv.weight, model.blocks[-1].attn.qkv.bias
    width = weight.shape[1]
    keys = seen["x"] @ weight[width : 2 * width].T + bias[width : 2 * width]
    assert features.shape == (grid[0] * grid[1], width)
    np.testing.assert_allclose(features, keys[0, 1:].numpy(), atol=1e-5)
    assert torch.equal(keys[0, 1:, :64], torch.stack(keys[0, 1:].split(64, dim=-1))[0])  # heads side by side


def test_scalings():
    nearest = scale_image(IMAGE, 16, "nearest")  # 50/16 = 3.125, 71/16 = 4.4
    assert nearest.shape == (48, 64, 3)
    np.testing.assert_array_equal(nearest, np.asarray(Image.fromarray(IMAGE).resize((64, 48), Image.LANCZOS)))
    assert scale_image(np.zeros((40, 56, 3), np.uint8), 16, "nearest").shape == (32, 64, 3)  # halves to even
    np.testing.assert_array_equal(scale_image(IMAGE, 16, "crop"), IMAGE[:48, :64])
    assert scale_image(IMAGE[:10, :40], 16, "crop").shape == (16, 32, 3)
    with pytest.warns(UserWarning, match="max_tokens=6"):
        assert scale_image(IMAGE, 16, "crop", max_tokens=6).shape == (32, 32, 3)


def test_settings_tell_them_apart():
    options = [{}, {"output": "keys"}, {"scaling": "crop"}]
    made = [ViTFeatures("vit_tiny_patch16_224", pretrained=False, **option).settings() for option in options]
    assert made[0] != made[1] != made[2] != made[0]
    with pytest.raises(InputError, match="output"):
        ViTFeatures("vit_tiny_patch16_224", pretrained=False, output="values")
    with pytest.raises(InputError, match="scaling"):
        ViTFeatures("vit_tiny_patch16_224", pretrained=False, scaling="pad")

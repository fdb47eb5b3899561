"""ViT features against a plain forward pass written from docs/protocol.md#features; random weights."""

from __future__ import annotations

import json
import math
import pickle

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import gelu, interpolate, layer_norm, linear

from mis_lightning.cli import main
from mis_lightning.errors import InputError
from mis_lightning.features import vit
from mis_lightning.features.extractor import PatchExtractor
from mis_lightning.features.vit import ViTFeatures

IMAGE = np.random.default_rng(0).integers(0, 256, (25, 40, 3), dtype=np.uint8)  # 4 x 5 patches
TINY = "test_vit"  # timm's smallest: patches of 16, a table of 10 x 10
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_tokens(state, image, patch, heads, mean=MEAN, std=STD):
    """Patch tokens of one image from a state dict with timm's names: docs/protocol.md#patch-features."""
    width, height = (
        math.ceil(round(side * patch / 8) / patch) * patch for side in (image.shape[1], image.shape[0])
    )
    pixels = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    x = ((torch.tensor(pixels) / 255 - torch.tensor(mean)) / torch.tensor(std)).float()
    h, w = height // patch, width // patch
    x = x.reshape(h, patch, w, patch, 3).permute(0, 2, 4, 1, 3).reshape(h * w, -1)
    x = linear(x, state["patch_embed.proj.weight"].flatten(1), state["patch_embed.proj.bias"])

    positions = state["pos_embed"][0]
    prefix = state["cls_token"][0]
    if "reg_token" in state:  # DINOv2 with registers: only patches have positions
        prefix = torch.cat([prefix, state["reg_token"][0]])
    else:
        prefix, positions = prefix + positions[:1], positions[1:]
    side = math.isqrt(len(positions))
    square = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((h + 0.1) / side, (w + 0.1) / side)
    resized = interpolate(square, scale_factor=factors, mode="bicubic", recompute_scale_factor=False)
    x = torch.cat([prefix, x + resized[0].flatten(1).T])

    dim = x.shape[1]
    for i in range(sum(name.endswith("norm1.weight") for name in state)):
        block = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        y = layer_norm(x, (dim,), block["norm1.weight"], block["norm1.bias"], eps=1e-6)
        q, k, v = linear(y, block["attn.qkv.weight"], block["attn.qkv.bias"]).split(dim, dim=1)
        q, k, v = (t.reshape(len(x), heads, dim // heads).transpose(0, 1) for t in (q, k, v))
        attention = (q @ k.transpose(1, 2) / math.sqrt(dim // heads)).softmax(dim=-1)
        y = linear(
            (attention @ v).transpose(0, 1).flatten(1), block["attn.proj.weight"], block["attn.proj.bias"]
        )
        x = x + y * block.get("ls1.gamma", torch.ones(()))
        y = layer_norm(x, (dim,), block["norm2.weight"], block["norm2.bias"], eps=1e-6)
        hidden = linear(y, block["mlp.fc1.weight"], block["mlp.fc1.bias"])
        if hidden.shape[1] == 2 * block["mlp.fc2.weight"].shape[1]:  # DINOv2 g/14: a gated MLP
            gate, value = hidden.chunk(2, dim=1)
            hidden = gate * gate.sigmoid() * value
        else:
            hidden = gelu(hidden)
        y = linear(hidden, block["mlp.fc2.weight"], block["mlp.fc2.bias"])
        x = x + y * block.get("ls2.gamma", torch.ones(()))
    return layer_norm(x, (dim,), state["norm.weight"], state["norm.bias"], eps=1e-6)[len(prefix) :], (h, w)


def make_random(extractor, seed=0):
    """Random numbers where initialisation leaves zeros, ones or next to nothing, so that mistakes show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in extractor.model.state_dict().items():
            if value.ndim == 1 or "token" in name or name == "pos_embed":
                value.add_(torch.randn(value.shape, generator=generator) * (0.1 if value.ndim == 1 else 1))
    return extractor


@pytest.mark.parametrize(
    ("name", "patch", "heads", "channels"),
    [
        ("vit_small_patch8_224.dino", 8, 6, 384),
        ("vit_tiny_patch16_224", 16, 3, 192),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 14, 6, 384),
    ],
)
def test_tokens_are_those_of_the_plain_forward_pass(name, patch, heads, channels):
    extractor = make_random(ViTFeatures(name, pretrained=False))
    features, grid = extractor(IMAGE)
    statistics = {} if "." in name else {"mean": (0.5,) * 3, "std": (0.5,) * 3}  # timm's tiny was trained so
    expected, expected_grid = plain_tokens(extractor.model.state_dict(), IMAGE, patch, heads, **statistics)
    assert grid == expected_grid == (4, 5)
    assert features.shape == (20, channels)  # no class token, no registers
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def tiny():
    return ViTFeatures(TINY, pretrained=False)


def test_it_is_an_extractor(tiny):
    assert isinstance(tiny, PatchExtractor)
    again = pickle.loads(pickle.dumps(tiny))  # workers that are spawned get a copy
    np.testing.assert_array_equal(again(IMAGE)[0], tiny(IMAGE)[0])


def test_at_the_stored_grid_both_interpolations_agree(tiny):
    image = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    timms = ViTFeatures(TINY, pretrained=False, interpolation="timm")
    np.testing.assert_allclose(timms(image)[0], tiny(image)[0], atol=1e-5)
    assert np.abs(timms(IMAGE)[0] - tiny(IMAGE)[0]).max() > 1e-4
    assert timms.settings() != tiny.settings()


def test_large_images_are_taken_smaller_with_a_warning():
    extractor = ViTFeatures(TINY, pretrained=False, max_tokens=16)
    with pytest.warns(
        UserWarning, match=r"64×80 pixels gives 80 tokens, more than max_tokens=16; its features"
    ):
        features, grid = extractor(np.zeros((80, 64, 3), np.uint8))
    assert grid == (5, 4)
    assert len(features) == 20


def test_settings_follow_the_weights(tiny):
    settings = tiny.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["model"] == TINY
    assert settings["patch_size"] == 16
    assert ViTFeatures(TINY, pretrained=False).settings() == settings
    assert ViTFeatures(TINY, pretrained=False, seed=1).settings()["weights"] != settings["weights"]
    changed = ViTFeatures(TINY, pretrained=False)
    with torch.no_grad():
        changed.model.norm.bias[-1] += 1e-6
    assert changed.settings()["weights"] != settings["weights"]


def test_random_weights_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    ViTFeatures(TINY, pretrained=False)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("name", ["vit_smal_patch8_224.dino", "vit_small_patch8_224.dinoo"])
def test_unknown_names_bring_suggestions(name, pretrained):
    with pytest.raises(
        InputError, match=rf"no model '{name}'. Did you mean .*vit_small_patch8_224\.dino[,?]"
    ):
        ViTFeatures(name, pretrained=pretrained)


def test_a_name_like_no_other():
    with pytest.raises(InputError, match="no model 'ßßß'"):
        ViTFeatures("ßßß")


def test_a_model_without_published_weights():
    with pytest.raises(InputError, match="no weights of vit_giant_patch14_224; set `checkpoint"):
        ViTFeatures("vit_giant_patch14_224")


def test_other_networks_are_refused():
    with pytest.raises(InputError, match="resnet18 is not a ViT"):
        ViTFeatures("resnet18", pretrained=False)


def test_rotary_positions_need_timms_way():
    with pytest.raises(InputError, match="interpolation='timm'"):
        ViTFeatures("eva02_tiny_patch14_224", pretrained=False)
    features, grid = ViTFeatures("eva02_tiny_patch14_224", pretrained=False, interpolation="timm")(IMAGE)
    assert grid == (4, 5)
    assert features.shape == (20, 192)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interpolation": "bicubic"}, "'reference', 'bilinear', 'timm'"),
        ({"max_tokens": 0}, "`max_tokens` of at least 1"),
    ],
)
def test_parameters_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        ViTFeatures(TINY, pretrained=False, **arguments)


def test_without_network_the_message_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # read once, on import
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as error:
        ViTFeatures("vit_small_patch8_224.dino")
    for part in (
        "model.safetensors from https://huggingface.co/timm/vit_small_patch8_224.dino ",
        "dino_deitsmall8_pretrain.pth",
        "set `checkpoint: /path/to/model.safetensors`",
        "ColourTexture",
    ):
        assert part in str(error.value)


def precompute_with_dino(tmp_path, *more):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    return ["precompute", "--config", "mis_vitb448_sbd", f"--data.images={tmp_path}", *more]


def test_an_unreachable_hub_is_said_once_and_at_once(tmp_path, capfd, monkeypatch):
    """As a user meets it: the config with DINO, from the command line, where nobody answers."""
    constants = huggingface_hub.constants  # read from the environment once, on import
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(precompute_with_dino(tmp_path)) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "could not be fetched (ConnectError)" in err


def test_a_weights_file_that_is_not_there_is_said_once(tmp_path, capfd):
    nothing = "--data.regions.init_args.extractor.init_args.checkpoint=weights/nothing.pth"
    assert main(precompute_with_dino(tmp_path, nothing)) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "No weights file at weights/nothing.pth" in err


def test_weights_in_the_cache_are_found_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(vit, "hub_problem", lambda _repository: ConnectionError("nobody answers"))
    expected = make_random(ViTFeatures(TINY, pretrained=False), 3)
    save_file(expected.model.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def cached(repository, file, local_files_only):
        asked.append((repository, file, local_files_only))
        return str(tmp_path / file)

    monkeypatch.setattr(vit, "hf_hub_download", cached)
    found = ViTFeatures(f"{TINY}.r160_in1k")
    assert asked == [(f"timm/{TINY}.r160_in1k", "model.safetensors", True)]
    assert found.weights_digest == expected.weights_digest


def test_weights_of_a_wrapped_network(tmp_path, tiny):
    state = tiny.model.state_dict()
    torch.save({"state_dict": {f"module.{name}": v for name, v in state.items()}}, tmp_path / "a.pth")
    assert ViTFeatures(TINY, checkpoint=str(tmp_path / "a.pth")).weights_digest == tiny.weights_digest


def test_a_weights_file_takes_the_place_of_the_hub(tmp_path, tiny):
    other = ViTFeatures(TINY, pretrained=False, seed=5)
    state = other.model.state_dict()
    save_file({**state, "head.weight": torch.zeros(1000, 64)}, tmp_path / "model.safetensors")
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    for name in ("model.safetensors", "model.pth"):
        loaded = ViTFeatures(TINY, checkpoint=str(tmp_path / name))
        assert loaded.settings() == other.settings() != tiny.settings()


def test_moco_files_bring_their_heads_and_statistics(tmp_path):
    encoder = make_random(ViTFeatures("vit_tiny_patch16_224", pretrained=False)).model.state_dict()
    noise = {"head.0.weight": torch.zeros(4, 4), "predictor.0.weight": torch.zeros(4, 4)}
    state = {f"module.base_encoder.{k}": v for k, v in {**encoder, **noise}.items()}
    state |= {f"module.momentum_encoder.{k}": v + 1 for k, v in encoder.items()}
    state["module.predictor.0.weight"] = torch.zeros(4, 4)
    torch.save({"epoch": 300, "state_dict": state, "optimizer": {"lr": 0.1}}, tmp_path / "moco.pth.tar")
    features, _ = ViTFeatures("vit_tiny_patch16_224", checkpoint=str(tmp_path / "moco.pth.tar"))(IMAGE)
    expected, _ = plain_tokens(encoder, IMAGE, patch=16, heads=12)
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4)


def test_files_of_dinov2_itself_are_understood(tmp_path):
    name = "vit_small_patch14_reg4_dinov2.lvd142m"
    timms = make_random(ViTFeatures(name, pretrained=False))
    state = timms.model.state_dict()
    class_position = torch.randn(1, 1, 384)
    original = {k: v for k, v in state.items() if k not in ("reg_token", "cls_token", "pos_embed")}
    original |= {
        "mask_token": torch.zeros(1, 384),
        "register_tokens": state["reg_token"],
        "cls_token": state["cls_token"] - class_position,
        "pos_embed": torch.cat([class_position, state["pos_embed"]], dim=1),
    }
    torch.save(original, tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    loaded = ViTFeatures(name, checkpoint=str(tmp_path / "dinov2_vits14_reg4_pretrain.pth"))
    np.testing.assert_allclose(loaded(IMAGE)[0], timms(IMAGE)[0], atol=1e-4)


def test_weights_of_another_model_are_refused(tmp_path):
    state = {k: v.clone() for k, v in ViTFeatures(TINY, pretrained=False).model.state_dict().items()}

    def message(**changes):
        changed = {k: v for k, v in {**state, **changes}.items() if v is not None}
        save_file(changed, tmp_path / "odd.safetensors")
        with pytest.raises(InputError, match=f"odd.safetensors does not hold weights of {TINY}") as error:
            ViTFeatures(TINY, checkpoint=str(tmp_path / "odd.safetensors"))
        return str(error.value)

    kernel, table = state["patch_embed.proj.weight"], state["pos_embed"]
    assert "8 pixels wide, not 16" in message(**{"patch_embed.proj.weight": kernel[..., :8, :8].contiguous()})
    assert "50 positions, not 101" in message(pos_embed=table[:, :50].contiguous())
    assert "1 entries are missing, too many or of another size (norm.bias" in message(**{"norm.bias": None})
    assert "(extra.weight" in message(**{"extra.weight": torch.zeros(1)})
    assert "(norm.weight" in message(**{"norm.weight": torch.zeros(3)})


def test_damaged_and_missing_weights_files(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("code in a weights file was run",))

    with pytest.raises(InputError, match=r"No weights file at .*nothing\.pth"):
        ViTFeatures(TINY, checkpoint=str(tmp_path / "nothing.pth"))
    (tmp_path / "a.safetensors").write_bytes(b"\x08" + bytes(20))
    (tmp_path / "b.pth").write_bytes(b"not found")
    torch.save({"model": Harmful()}, tmp_path / "c.pth")
    torch.save([1, 2], tmp_path / "d.pth")
    for name in ("a.safetensors", "b.pth", "c.pth", "d.pth"):
        with pytest.raises(InputError, match=f"{name} (is cut off|holds|is empty)"):
            ViTFeatures(TINY, checkpoint=str(tmp_path / name))

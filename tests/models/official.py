"""The network of docs/protocol.md#the-network in plain functions, with the names of published files."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch.nn import functional as F


def random_state(
    dim=768, depth=12, patch=16, side=28, outs=(128, 256, 512, 1024), width=256, seed=0, device="cpu"
):
    """A state dict with every name of part C, filled with small random numbers."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    state = OrderedDict()

    def put(name, *shape, around=0.0):
        if device == "meta":
            state[name] = torch.empty(shape, device="meta")
        else:
            scale = 0.5 / math.sqrt(max(math.prod(shape[1:]), 4))
            state[name] = around + scale * torch.randn(shape, generator=generator)

    def pair(name, *shape, bias=None, around=0.0):
        put(f"{name}.weight", *shape, around=around)
        put(f"{name}.bias", shape[0] if bias is None else bias)

    pair("patch_embed_coords.proj", dim, 3, patch, patch)
    put("backbone.cls_token", 1, 1, dim)
    put("backbone.pos_embed", 1, side * side + 1, dim)
    pair("backbone.patch_embed.proj", dim, 3, patch, patch)
    for i in range(depth):
        block = f"backbone.blocks.{i}"
        pair(f"{block}.norm1", dim, around=1.0)
        pair(f"{block}.attn.qkv", 3 * dim, dim)
        pair(f"{block}.attn.proj", dim, dim)
        pair(f"{block}.norm2", dim, around=1.0)
        pair(f"{block}.mlp.fc1", 4 * dim, dim)
        pair(f"{block}.mlp.fc2", dim, 4 * dim)
    pair("backbone.fc_norm", dim, around=1.0)
    pair("backbone.head", 1000, dim)
    first, last = max(2 * outs[0], dim // 2), max(outs[3], 2 * dim)
    mid = max(outs[1], dim // 2)
    pair("neck.down_4.0", dim, first, 2, 2, bias=first)
    pair("neck.down_4.1", first, around=1.0)
    pair("neck.down_4.3", first, first // 2, 2, 2, bias=first // 2)
    pair("neck.down_4.4", first // 2, around=1.0)
    pair("neck.down_4.5", outs[0], first // 2, 1, 1)
    pair("neck.down_4.6", outs[0], around=1.0)
    pair("neck.down_8.0", dim, mid, 2, 2, bias=mid)
    pair("neck.down_8.1", mid, around=1.0)
    pair("neck.down_8.2", outs[1], mid, 1, 1)
    pair("neck.down_8.3", outs[1], around=1.0)
    pair("neck.down_16.0", outs[2], dim, 1, 1)
    pair("neck.down_16.1", outs[2], around=1.0)
    pair("neck.down_32.0", last, dim, 2, 2)
    pair("neck.down_32.1", last, around=1.0)
    pair("neck.down_32.2", outs[3], last, 1, 1)
    pair("neck.down_32.3", outs[3], around=1.0)
    for i, channels in enumerate(outs):
        pair(f"head.convs.{i}.conv", width, channels, 1, 1)
    pair("head.fusion_conv.conv", width, 4 * width, 1, 1)
    pair("head.conv_seg", 1, width, 1, 1)
    for number, (there, here) in enumerate([(width, width // 2), (width // 2, width // 4)], start=1):
        pair(f"head.up_conv{number}.0", there, here, 2, 2, bias=here)
        pair(f"head.up_conv{number}.1", here, around=1.0)
        pair(f"head.up_conv{number}.2", here, here, 1, 1)
        pair(f"head.up_conv{number}.3", here, around=1.0)
    return state


def forward(state, image, previous_mask, positive, negative, *, heads, global_every, window):
    """Image ``(B, 3, H, W)`` in [0, 1], maps ``(B, 1, H, W)`` -> logits ``(B, 1, H, W)``."""

    def get(name):
        return state[f"{name}.weight"], state[f"{name}.bias"]

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    patch = state["backbone.patch_embed.proj.weight"].shape[-1]
    coords = torch.cat([previous_mask, positive, negative], dim=1)
    x = F.conv2d((image - mean) / std, *get("backbone.patch_embed.proj"), stride=patch)
    x = x + F.conv2d(coords, *get("patch_embed_coords.proj"), stride=patch)
    batch, dim, h, w = x.shape
    x = x.flatten(2).transpose(1, 2) + state["backbone.pos_embed"][:, 1:]
    depth = len({name.split(".")[2] for name in state if name.startswith("backbone.blocks.")})

    def attention(tokens, block):  # (n, t, dim)
        n, t, _ = tokens.shape
        qkv = F.linear(tokens, *get(f"{block}.attn.qkv")).view(n, t, 3, heads, dim // heads)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        weights = (q @ k.transpose(2, 3) / math.sqrt(dim // heads)).softmax(dim=-1)
        return F.linear((weights @ v).transpose(1, 2).reshape(n, t, dim), *get(f"{block}.attn.proj"))

    for i in range(depth):
        block = f"backbone.blocks.{i}"
        normed = F.layer_norm(x, (dim,), *get(f"{block}.norm1"), eps=1e-6)
        if (i + 1) % global_every == 0:
            x = x + attention(normed, block)
        else:
            attended = torch.empty_like(normed).view(batch, h, w, dim)
            for top in range(0, h, window):
                for left in range(0, w, window):
                    part = normed.view(batch, h, w, dim)[:, top : top + window, left : left + window]
                    done = attention(part.reshape(batch, window * window, dim), block)
                    attended[:, top : top + window, left : left + window] = done.view(part.shape)
            x = x + attended.view(x.shape)
        normed = F.layer_norm(x, (dim,), *get(f"{block}.norm2"), eps=1e-6)
        x = x + F.linear(F.gelu(F.linear(normed, *get(f"{block}.mlp.fc1"))), *get(f"{block}.mlp.fc2"))
    x = x.transpose(1, 2).reshape(batch, dim, h, w)

    def norm(maps, name):
        return F.group_norm(maps, 1, *get(name), eps=1e-5)

    def up(maps, name):
        return F.conv_transpose2d(maps, *get(name), stride=2)

    quarter = up(F.gelu(norm(up(x, "neck.down_4.0"), "neck.down_4.1")), "neck.down_4.3")
    quarter = F.conv2d(norm(quarter, "neck.down_4.4"), *get("neck.down_4.5"))
    quarter = F.gelu(norm(quarter, "neck.down_4.6"))
    eighth = F.conv2d(norm(up(x, "neck.down_8.0"), "neck.down_8.1"), *get("neck.down_8.2"))
    eighth = F.gelu(norm(eighth, "neck.down_8.3"))
    sixteenth = F.gelu(norm(F.conv2d(x, *get("neck.down_16.0")), "neck.down_16.1"))
    half = norm(F.conv2d(x, *get("neck.down_32.0"), stride=2), "neck.down_32.1")
    half = F.gelu(norm(F.conv2d(half, *get("neck.down_32.2")), "neck.down_32.3"))
    size = quarter.shape[-2:]
    maps = []
    for i, branch in enumerate((quarter, eighth, sixteenth, half)):
        projected = F.relu(F.conv2d(branch, *get(f"head.convs.{i}.conv")))
        maps.append(F.interpolate(projected, size, mode="bilinear", align_corners=False))
    fused = F.relu(F.conv2d(torch.cat(maps, dim=1), *get("head.fusion_conv.conv")))
    logits = F.conv2d(fused, *get("head.conv_seg"))
    return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)

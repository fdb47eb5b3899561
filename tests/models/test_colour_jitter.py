import torch
from torchvision.transforms.functional import rgb_to_grayscale

from mis_lightning.models.colour_jitter import ColourJitter


def image():
    return torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(1))


def test_never_leaves_the_image_as_it_is():
    assert torch.equal(ColourJitter(0, 0, 0)(image()), image())


def test_grey_gives_three_equal_channels_of_luma():
    grey = ColourJitter(0, 1, 0)(image())
    luma = (image() * torch.tensor([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1)
    for channel in range(3):
        assert torch.allclose(grey[:, channel], luma, atol=1e-3)


def test_jitter_stays_in_range_and_differs_between_images():
    same = image()[:1].expand(4, -1, -1, -1)
    changed = ColourJitter(1, 0, 0)(same)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len({float(one.sum()) for one in changed}) == 4


def test_probabilities_are_met():
    torch.manual_seed(0)
    many = image()[:1].expand(2000, -1, -1, -1)
    grey = ColourJitter(0, 0.2, 0)(many)
    share = (grey[:, 0] == grey[:, 1]).flatten(1).all(1).float().mean()
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5


def test_blur_keeps_a_constant_image_and_spreads_a_point():
    blur = ColourJitter(0, 0, 1)
    assert torch.allclose(blur(torch.full((1, 3, 7, 7), 0.5)), torch.full((1, 3, 7, 7), 0.5), atol=1e-6)
    point = torch.zeros(1, 3, 7, 7)
    point[..., 3, 3] = 1
    spread = blur(point)[0, 0]
    assert spread[3, 3] < 0.3
    assert (spread > 0).sum() == 9


def test_same_seed_same_change():
    torch.manual_seed(5)
    first = ColourJitter()(image())
    torch.manual_seed(5)
    assert torch.equal(first, ColourJitter()(image()))


def test_mixed_precision_leaves_colours_alone():
    torch.manual_seed(5)
    expected = ColourJitter(1, 0.5, 1)(image())
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ColourJitter(1, 0.5, 1)(image()), expected)


def test_it_is_torchvisions_image_by_image():
    """The same draws, the same images, whatever the size of the batch."""
    pictures = torch.rand(40, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    pictures[0] = 0.5  # grey: no hue
    jitter = ColourJitter(0.6, 0.3, 0.3)
    torch.manual_seed(7)
    found = jitter(pictures)
    torch.manual_seed(7)
    expected = []
    for picture in pictures:
        jittered, grey, blurred = torch.rand(3).tolist()
        if jittered < 0.6:
            picture = jitter.jitter(picture)
        if grey < 0.3:
            picture = rgb_to_grayscale(picture, 3)
        if blurred < 0.3:
            picture = jitter.blur(picture)
        expected.append(picture)
    assert torch.allclose(found, torch.stack(expected), atol=2e-5)
    assert sum(not torch.equal(a, b) for a, b in zip(found, pictures, strict=True)) > 20

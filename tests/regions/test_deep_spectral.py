"""Deep spectral segments: planted groups, the background rule, the colour graph by brute force, the crop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from mis_lightning.errors import InputError
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.regions import deep_spectral, dense_crf
from mis_lightning.regions.deep_spectral import (
    DeepSpectral,
    colour_graph,
    segment,
    spectral_embedding,
    uncropped,
)
from mis_lightning.regions.dense_crf import refine_labels


def planted(grid=(12, 16)):
    """Three groups: a frame, and two boxes in it."""
    truth = np.zeros(grid, int)
    truth[2:6, 3:8], truth[7:11, 9:14] = 1, 2
    rng = np.random.default_rng(0)
    features = np.eye(3)[truth.ravel()] + 0.05 * rng.standard_normal((truth.size, 3))
    return features.astype(np.float32), truth


def test_planted_groups_are_found_and_the_frame_is_the_background():
    features, truth = planted()
    vectors = spectral_embedding(features, truth.shape, None, 3)
    assert vectors.shape == (truth.size, 2)
    for seed in range(5):
        labels = segment(vectors, truth.shape, 3, np.random.default_rng(seed))
        assert adjusted_rand_score(truth.ravel(), labels.ravel()) == 1
        np.testing.assert_array_equal(labels == 0, truth == 0)


def test_eigenvectors_are_mostly_negative():
    vectors = spectral_embedding(*planted()[:1], (12, 16), None, 6)
    positive = (vectors > 0).mean(axis=0)
    assert ((positive <= 0.5) | (positive == 1)).all()


@pytest.mark.parametrize("colour_weight", [0.0, 10.0])
def test_the_embedding_agrees_with_the_spec_word_for_word(colour_weight):
    rng = np.random.default_rng(3)
    grid, image = (15, 18), rng.integers(0, 256, (150, 180, 3), np.uint8)
    features = rng.standard_normal((270, 5)) + np.repeat(rng.standard_normal((15, 5)), 18, axis=0)
    features = features.astype(np.float32)
    unit = features.astype(float) / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    affinity = unit @ unit.T
    affinity[affinity < 0] = 0
    affinity = affinity / affinity.max() + colour_weight * colour_graph(image, grid)
    degree = np.diag(affinity.sum(1))
    expected = eigh(degree - affinity, degree)[1][:, 1:6]
    for k in range(5):
        if 0.5 < (expected[:, k] > 0).mean() < 1:
            expected[:, k] *= -1
    found = spectral_embedding(features, grid, image, 6, colour_weight)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_of_several_starts_the_tightest_clusters_count():
    vectors = np.random.default_rng(0).standard_normal((270, 3))

    def apart(seed, restarts):
        labels = segment(vectors, (15, 18), 12, np.random.default_rng(seed), restarts).ravel()
        return sum(((vectors[labels == k] - vectors[labels == k].mean(0)) ** 2).sum() for k in range(12))

    single, several = ([apart(seed, restarts) for seed in range(4)] for restarts in (1, 10))
    assert all(many <= one for one, many in zip(single, several, strict=True))  # the first start is the same
    assert np.mean(several) < 0.99 * np.mean(single)
    assert max(several) < 1.02 * KMeans(12, n_init=10, random_state=0).fit(vectors).inertia_


def test_the_background_is_swapped_with_label_zero_and_ties_go_to_the_lower(monkeypatch):
    labels = np.array([[1, 1, 2], [1, 0, 2], [2, 2, 2]])
    monkeypatch.setattr(deep_spectral, "kmeans2", lambda *_, **__: (None, labels.ravel()))
    swapped = segment(np.zeros((9, 1)), (3, 3), 3, np.random.default_rng(0))
    # Border counts, corners twice: label 1 has (0,0) twice, (0,1), (1,0) = 4; label 2 the rest = 8.
    np.testing.assert_array_equal(swapped, [[1, 1, 0], [1, 2, 0], [0, 0, 0]])
    labels = np.ones((9, 3), int)  # the sides decide
    labels[1:-1, ::2], labels[4, 1] = 2, 0
    swapped = segment(np.zeros((27, 1)), (9, 3), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(swapped, np.array([2, 1, 0])[labels])
    labels = np.array([[1, 0], [1, 0]])
    np.testing.assert_array_equal(segment(np.zeros((4, 1)), (2, 2), 2, np.random.default_rng(0)), labels)


def test_the_colour_graph_by_brute_force():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    weights = colour_graph(image, (5, 6))
    expected = np.zeros((30, 30))
    place = np.array([(c / 5, r / 4) for r in range(5) for c in range(6)])
    for k, weight in ((20, 2.0), (10, 0.1)):
        points = np.concatenate([image.reshape(30, 3) / 255, weight * place], axis=1)
        for i in range(30):
            for j in np.argsort(((points - points[i]) ** 2).sum(1), kind="stable")[:k]:
                expected[i, j] += 1
                expected[j, i] += 1
    np.testing.assert_array_equal(weights, expected)


def test_colour_tells_apart_what_features_do_not():
    image = np.full((32, 32, 3), 30, np.uint8)
    image[8:24, 8:24] = 220
    same = np.ones((64, 4), np.float32)
    labels = segment(spectral_embedding(same, (8, 8), image, 2, 10.0), (8, 8), 2, np.random.default_rng(0))
    truth = np.zeros((8, 8), int)
    truth[2:6, 2:6] = 1
    np.testing.assert_array_equal(labels, truth)


def test_what_was_cropped_away_is_stretched():
    labels = np.arange(6, dtype=np.int32).reshape(2, 3)
    whole = uncropped(labels, 4, (10, 13))
    np.testing.assert_array_equal(whole[:8, :12], np.kron(labels, np.ones((4, 4), int)))
    for row in range(10):
        for column in range(13):
            if row >= 8 or column >= 12:
                assert whole[row, column] == labels[row * 2 // 10, column * 3 // 13]


class Cropping:
    patch, scaling = 8, "crop"

    def __call__(self, image):
        grid = (image.shape[0] // 8, image.shape[1] // 8)
        return np.ones((grid[0] * grid[1], 3), np.float32), grid

    def settings(self):
        return {"extractor": "cropping"}


def test_the_colour_graph_sees_what_the_extractor_sees():
    image = np.random.default_rng(0).integers(0, 60, (39, 47, 3), np.uint8)
    image[8:24, 8:24] += 150
    source = DeepSpectral(Cropping(), segments=3, colour_weight=10.0)
    masks = source.find(image, "a", source.extractor(image))
    inner = image[:32, :40]
    cropped = source.find(inner, "a", source.extractor(inner))
    assert len(masks) == len(cropped) == 2
    np.testing.assert_array_equal(masks.unpack()[:, :32, :40], cropped.unpack())


@pytest.mark.parametrize("crf", [False, True])
def test_masks_of_an_image_are_the_same_every_time(crf):
    image = np.full((48, 64, 3), (40, 90, 40), np.uint8)
    image[12:32, 8:32] = (220, 60, 40)
    image[20:40, 40:56] = (60, 60, 220)
    source = DeepSpectral(ColourTexture(stride=4), segments=3, eigenvectors=3, crf=crf)
    features = source.extractor(image)
    masks = source.find(image, "a.png", features)
    np.testing.assert_array_equal(masks.bits, source.find(image, "a.png", features).bits)
    assert len(masks) == 2
    truths = [image[:, :, 0] == 220, image[:, :, 2] == 220]
    for truth in truths:
        ious = [(m & truth).sum() / (m | truth).sum() for m in (masks.mask(k, (48, 64)) for k in range(2))]
        assert max(ious) > 0.85


def test_the_crf_follows_edges_and_keeps_flat_labels():
    image = np.full((40, 50, 3), 50, np.uint8)
    image[:, 25:] = 200
    labels = np.zeros((40, 50), np.int32)
    labels[:, 21:] = 3  # four pixels off
    refined = refine_labels(labels, image)
    np.testing.assert_array_equal(refined, np.where(np.arange(50) >= 25, 3, 0)[None].repeat(40, 0))
    np.testing.assert_array_equal(refine_labels(np.full((5, 5), 7, np.int32), image[:5, :5]), 7)


def test_the_crf_agrees_with_an_exact_one():
    rng = np.random.default_rng(0)
    image = np.full((20, 24, 3), 60, np.uint8)
    image[5:15, 6:18] = (190, 90, 60)
    image = np.clip(image + rng.integers(-15, 15, image.shape), 0, 255).astype(np.uint8)
    labels = np.zeros((20, 24), np.int32)
    labels[4:13, 8:20] = 1
    place = np.stack(np.divmod(np.arange(480), 24), 1).astype(float)
    colour = image.reshape(-1, 3).astype(float)

    def kernel(*parts):
        return np.exp(-0.5 * sum(((p[:, None] - p[None]) ** 2).sum(-1) / s**2 for p, s in parts))

    near, alike = kernel((place, 3)), kernel((place, 80), (colour, 13))
    unary = np.eye(2)[labels.ravel()]
    belief = np.exp(unary) / np.exp(unary).sum(1, keepdims=True)
    for _ in range(5):
        energy = unary + 3 * near @ belief / near.sum(1, keepdims=True)
        energy += 10 * alike @ belief / alike.sum(1, keepdims=True)
        belief = np.exp(energy - energy.max(1, keepdims=True))
        belief /= belief.sum(1, keepdims=True)
    exact = belief.argmax(1).reshape(20, 24)
    assert 0.1 < exact.mean() < 0.5
    assert (refine_labels(labels, image) == exact).mean() > 0.97


def test_the_constants_of_the_crf():
    """Spec: 3 and 3 pixels; 10, 80 pixels and 13 grey levels; 5 rounds."""
    assert (dense_crf.NEAR_WEIGHT, dense_crf.NEAR_SIGMA, dense_crf.ITERATIONS) == (3, 3, 5)
    assert (dense_crf.ALIKE_WEIGHT, dense_crf.ALIKE_SIGMA, dense_crf.COLOUR_SIGMA) == (10, 80, 13)


def test_bad_numbers():
    with pytest.raises(InputError, match="restarts"):
        DeepSpectral(restarts=0)
    for bad in ({"segments": 1}, {"eigenvectors": 1}, {"colour_weight": -1.0}, {"seed": -1}):
        with pytest.raises(InputError, match="segments"):
            DeepSpectral(**bad)

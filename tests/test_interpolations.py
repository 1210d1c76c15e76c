"""Steps between codes, and which images a gallery shows."""

import numpy as np
import pytest
import torch

from autoencoders.latent.encode_decode import decode, encode
from autoencoders.latent.interpolations import shown_images, steps_between
from autoencoders.networks.network import Autoencoder, NetworkOptions


def test_steps_are_at_equal_distances_on_a_line_and_end_at_both_codes():
    first, last = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    steps = steps_between(first, last, 9)
    assert steps.shape == (5, 9, 3) and steps.dtype == np.float32
    np.testing.assert_array_equal(steps[:, 0], first)
    np.testing.assert_array_equal(steps[:, -1], last)
    np.testing.assert_allclose(np.diff(steps, axis=1), np.repeat((last - first)[:, None] / 8, 8, axis=1), atol=1e-6)
    assert steps_between(first[:0], last[:0], 9).shape == (0, 9, 3)


@pytest.mark.parametrize("variational", [False, True])
def test_the_first_and_last_step_are_the_reconstructions(variational):
    network = Autoencoder(NetworkOptions(32, 4, (1, 1, 1, 1), 6, variational=variational), seed=0).eval()
    images = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    device = torch.device("cpu")
    codes = encode(network, images, 2, device)
    steps = steps_between(codes[:2], codes[2:], 4)
    decoded = decode(network, steps.reshape(8, 6), 8, device).reshape(2, 4, 3, 32, 32)
    np.testing.assert_array_equal(
        decoded[:, [0, -1]].swapaxes(0, 1).reshape(4, 3, 32, 32), decode(network, codes, 4, device)
    )


def test_a_gallery_shows_images_of_all_places_and_the_same_for_a_seed():
    shown = shown_images(10_000, 44, seed=0)
    assert len(set(shown.tolist())) == 44 and shown.min() < 2000 and shown.max() > 8000
    np.testing.assert_array_equal(shown, shown_images(10_000, 44, seed=0))
    assert not np.array_equal(shown, shown_images(10_000, 44, seed=1))
    assert sorted(shown_images(3, 44, seed=0)) == [0, 1, 2]

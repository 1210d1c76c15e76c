"""The Inception network that defines the FID: pytorch-fid's, with its resizing to 299 pixels and its scaling."""

from __future__ import annotations

import contextlib
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

OPTIONS = {
    "weights": {
        "type": ["string", "null"],
        "minLength": 1,
        "default": None,
        "description": "a path or null (downloaded)",
    },
}
# The official weights file, as pytorch-fid distributes it (pytorch_fid.inception.FID_WEIGHTS_URL).
URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def recorded_name(weights_sha256: str) -> str:
    """ "inception" for the official weights only: their Fréchet distance is the FID."""
    return "inception" if weights_sha256 == SHA256 else "inception-other"


def cpu_seconds(options: Mapping) -> float:
    """For the 50,000 training images of CIFAR-10, 49 minutes were measured."""
    return 60


def load(path: str | Path, device: torch.device, block: int = 3) -> Callable[[Tensor], Tensor]:
    """Features of images at pytorch-fid's ``block``: 0 to 3 have 64, 192, 768 and 2048; the FID uses the last.

    ``path`` is pytorch-fid's weights file.
    """
    import torch

    network = inception_network(path, block).to(device, memory_format=torch.channels_last).eval()

    def features(images: Tensor) -> Tensor:
        (found,) = network(images)
        # The mean over space, computed as in pytorch-fid.
        return torch.nn.functional.adaptive_avg_pool2d(found, output_size=(1, 1)).flatten(start_dim=1)

    return features


def classes(path: str | Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Logits (N, 1008) of features (N, 2048), without biases, as the inception score is computed."""
    weights = read_weights(path)
    if "fc.weight" not in weights:
        raise not_inception(path, "it has no layer of classes (fc.weight)")
    matrix = weights["fc.weight"].float().to(device)
    return lambda features: features @ matrix.T


def inception_network(path: str | Path, block: int) -> torch.nn.Module:
    """pytorch-fid's network up to a block, with the weights of a file.

    pytorch-fid accepts no file: it downloads its own weights, or finds them in torch.hub's folder, and unpickles them
    without a check. So a temporary folder replaces torch.hub's, with a copy of the tensors that `read_weights` returns.
    pytorch-fid loads them strictly: every key must match.
    """
    import torch
    from pytorch_fid.inception import FID_WEIGHTS_URL, InceptionV3

    weights, before = read_weights(path), torch.hub.get_dir()
    with temporary_folder() as folder:
        copy = Path(folder, "checkpoints", FID_WEIGHTS_URL.rsplit("/", 1)[1])
        copy.parent.mkdir()
        torch.save(weights, copy)
        torch.hub.set_dir(folder)
        try:
            return InceptionV3([block])
        except (RuntimeError, TypeError, AttributeError) as error:
            raise not_inception(path, textwrap.shorten(str(error), 200)) from error
        finally:
            torch.hub.set_dir(before)


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Raises UserError where there is no room, or no folder, for 91 MB of temporary files."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    except OSError as error:
        raise UserError(
            f"pytorch-fid's network needs 91 MB for a moment in the folder for temporary files ({error}). Make room "
            "there, or set the environment variable TMPDIR to another folder."
        ) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # What torch raises depends on where in the file it fails; the file is wrong in any case. Its message is not shown,
    # since it suggests switching off the check that keeps a file from running code.
    except Exception as error:
        raise not_inception(path, f"reading it as weights failed with {type(error).__name__}") from error


def not_inception(path: str | Path, why: str) -> UserError:
    return UserError(
        f"{path} does not hold pytorch-fid's Inception weights (pt_inception-2015-12-05-6726825d.pth): {why}. "
        "Write the path of that file to extractors.inception.weights. Or remove this setting (and this file, if it was "
        "downloaded) to download it again"
    )

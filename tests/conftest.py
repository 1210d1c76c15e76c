"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

# Before torch and NumPy are imported: test processes run side by side, and their threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As in a job, and before the first test on CUDA, since cuBLAS reads it only once.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

PROJECT = Path(__file__).parents[1]


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "gpu: needs CUDA; runs with a job's settings of PyTorch")


@pytest.fixture(autouse=True)
def settings_of_a_job(request):
    """Tests marked ``gpu`` compute as a job does, deterministic algorithms included; then everything is put back."""
    if request.node.get_closest_marker("gpu") is None:
        yield
        return
    import torch

    from autoencoders.networks.numerics import repeatable

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32, products.allow_bf16_reduced_precision_reduction
    repeatable(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    convolutions.allow_tf32, products.allow_tf32, products.allow_bf16_reduced_precision_reduction = before


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real CIFAR-10 and CelebA images in the parquet layout, where this machine has them."""
    folder = Path(os.environ.get("SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no folder of real images at {folder} (set SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of this checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def finished_project(project, tmp_path_factory, worker_id) -> Path:
    """A project with all results of tiny.yaml, image sets included. Test processes share it: copy it to change it."""
    from filelock import FileLock
    from running import copy_project, snakemake

    temporary = tmp_path_factory.getbasetemp()
    shared = temporary if worker_id == "master" else temporary.parent
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished").exists():
            folder = copy_project(project, tmp_path_factory.mktemp("unfinished"))
            snakemake(folder, "--notemp")
            folder.rename(shared / "finished")
    return shared / "finished"


def seeded_inception_weights(seed: int) -> dict:
    """A state dict of the FID Inception network, scaled (He et al. 2015) so that its features vary by about one.

    torch's own initial weights would shrink every layer's output, and all images' features would be equal.
    """
    import torch
    from torchvision.models import inception_v3

    # pytorch-fid's network has the tensors of torchvision's: it differs in how it pools.
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.1, generator=generator)
    torch.nn.init.zeros_(network.fc.bias)
    return network.state_dict()


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory) -> Path:
    """A file laid out like pytorch-fid's weights, filled from a seed: the real ones are a download of 91 MB."""
    import torch

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(seeded_inception_weights(0), path)
    return path

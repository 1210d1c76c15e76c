"""Which device a job computes on, with a fake driver library and fake GPUs, and how it rounds there."""

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from autoencoders.jobs import device, gpu_locks
from autoencoders.jobs.errors import UserError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpus_name_ends_in_its_architecture():
    """The table of costs recognises a CPU by it."""
    assert re.fullmatch(r".+ \(\S+ CPU\)", device.describe(CPU))
    assert device.cpu_name() in device.describe(CPU)


def test_versions_of_cuda_and_of_the_driver(monkeypatch, tmp_path):
    cuda, file = {"cuda": torch.version.cuda or "none"}, tmp_path / "version"
    monkeypatch.setattr(device, "DRIVER", file)
    assert device.software(CPU) == cuda and device.software(GPU) == cuda | {"nvidia driver": "unknown"}
    for text, driver in (
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56\nGCC 12", "550.54.15"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build", "580.65.06"),
        ("", "unknown"),
    ):
        file.write_text(text, encoding="utf-8")
        assert device.software(GPU) == cuda | {"nvidia driver": driver}


@pytest.fixture
def driver(monkeypatch):
    """A function that replaces the driver's library by one whose GPU has used 2,500 J, and returns what it is asked.

    ``result`` is what the question for the energy returns. ``sliced`` is the mode of slices (MIG), or None if the GPU
    has no such mode.
    """

    def make(result: int = 0, sliced: int | None = None) -> list[bytes]:
        asked = []

        def consumption(handle, value) -> int:
            ctypes.cast(value, ctypes.POINTER(ctypes.c_ulonglong))[0] = 2_500_000
            return result

        def mode(handle, current, pending) -> int:
            if sliced is None:
                return 3
            for value, number in ((current, sliced), (pending, 1 - sliced)):
                ctypes.cast(value, ctypes.POINTER(ctypes.c_uint))[0] = number
            return 0

        library = SimpleNamespace(
            nvmlInit_v2=lambda: 0,
            nvmlDeviceGetHandleByUUID=lambda name, handle: asked.append(name) or 0,
            nvmlDeviceGetTotalEnergyConsumption=consumption,
            nvmlDeviceGetMigMode=mode,
        )
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
        return asked

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="12-ab"))
    return make


def test_energy_is_the_drivers_millijoules_of_that_gpu_and_none_without(monkeypatch, driver):
    cdll, asked = ctypes.CDLL, driver()
    assert (device.energy(GPU), asked) == (2500, [b"GPU-12-ab"])
    assert device.energy(CPU) is None
    driver(result=3)
    assert device.energy(GPU) is None
    monkeypatch.setattr(ctypes, "CDLL", lambda name: cdll("missing.so"))
    assert device.energy(GPU) is None


def test_the_energy_of_a_whole_gpu_is_not_booked_to_a_slice_of_it(driver):
    driver(sliced=0)
    assert device.energy(GPU) == 2500
    driver(sliced=1)
    assert device.energy(GPU) is None


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that sets the number of GPUs and CUDA_VISIBLE_DEVICES (None: not set)."""

    def make(count: int, visible: str | None) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        # Set even if it is deleted next, so that what the tested code sets is undone too.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        every = ",".join(map(str, range(count)))

        def seen() -> int:
            return len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",") if name])

        def available() -> bool:
            # This initialises CUDA, which then ignores CUDA_VISIBLE_DEVICES: a job must have chosen its GPU before.
            assert seen() <= 1
            return seen() == 1

        monkeypatch.setattr(torch.cuda, "device_count", seen)
        monkeypatch.setattr(torch.cuda, "is_available", available)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return make


@pytest.mark.parametrize(
    ("count", "visible", "gpu", "expected"),
    # No slot: the CPU, even if there are GPUs.
    [(1, None, 1, GPU), (8, "GPU-ab", 1, GPU), (2, None, 0, CPU), (0, None, 1, None), (2, "", 1, None)],
)
def test_without_a_choice_no_lock_is_taken(machine, monkeypatch, count, visible, gpu, expected):
    machine(count, visible)
    monkeypatch.setattr(gpu_locks, "claim", None)
    if expected is None:
        # Computing on the CPU instead would take days.
        with pytest.raises(UserError, match=r"sees none.*--resources gpu=0"):
            device.choose_device(gpu, 1, 1)
    else:
        assert device.choose_device(gpu, 1, 1) == expected
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "1"]), ("2,GPU-b", ["2", "GPU-b"])])
def test_each_job_sees_its_own_gpu_of_several(machine, monkeypatch, visible, names):
    for name in names:
        machine(2, visible)
        assert device.choose_device(1, 1, 1) == GPU
        assert os.environ["CUDA_VISIBLE_DEVICES"] == name
    assert gpu_locks.try_claim(names, 1, 1, gpu_locks.lock_folder()) is None
    # If counting has initialised CUDA, the others can't be hidden.
    machine(2, visible)
    monkeypatch.setattr(gpu_locks, "claim", lambda *_: names[0])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"Set CUDA_VISIBLE_DEVICES={','.join(names)} "):
        device.choose_device(1, 1, 1)


def test_each_job_sees_its_own_slice_of_a_gpu(machine, monkeypatch):
    """CUDA sees only the first of several slices, and PyTorch can count them only by using CUDA."""
    names, used = ["MIG-a", "MIG-b"], []

    def seen() -> int:
        # From here on, CUDA keeps the slice that it sees.
        used.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return 1

    for name in names:
        machine(0, ",".join(names))
        monkeypatch.setattr(torch.cuda, "device_count", seen)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: seen() == 1)
        used.clear()
        assert device.choose_device(1, 1, 1) == GPU
        assert set(used) == {name}
    assert gpu_locks.try_claim(names, 1, 1, gpu_locks.lock_folder()) is None


@pytest.mark.parametrize(
    ("gpu", "widths", "filters", "asked", "warns"),
    [
        (4, {32: 4, 64: 2}, 64, (4, 2, 4), False),
        (4, {32: 4, 64: 2}, None, (4, 1, 4), False),
        (0, {32: 4}, 128, (0, 4, 4), False),
        # Snakemake's limit is too low: the cell takes its share anyway.
        (2, {32: 4}, 128, (2, 4, 4), True),
    ],
)
def test_a_cell_asks_for_its_share_of_a_gpu(monkeypatch, caplog, gpu, widths, filters, asked, warns):
    calls = []
    monkeypatch.setattr(device, "choose_device", lambda *arguments: calls.append(arguments) or CPU)
    device.open_device(gpu, 1, widths, filters)
    assert calls == [asked]
    assert ("takes 4 of the 4 slots" in caplog.text and "--resources gpu=4" in caplog.text) == warns


NUMERICS = """
import os, warnings
import torch
from autoencoders.networks import numerics

warnings.simplefilter("error")
for tf32 in (True, False):
    numerics.repeatable(1, tf32=tf32)
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
    assert torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction is False
assert torch.get_num_threads() == 1 and torch.get_deterministic_debug_mode() == 2
assert not torch.backends.cudnn.benchmark
print(os.environ["CUBLAS_WORKSPACE_CONFIG"])
"""


@pytest.mark.parametrize(("workspace", "expected"), [(None, ":4096:8"), (":16:8", ":16:8")])
def test_computations_are_deterministic_and_use_tf32_only_if_asked(workspace, expected):
    """In convolutions and matrix products. bfloat16 is summed in float32. The user's own workspace is kept."""
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    environment |= {"CUBLAS_WORKSPACE_CONFIG": workspace} if workspace else {}
    options = {"cwd": Path(device.__file__).parents[2], "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", NUMERICS], **options)
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


# The GPU is pretended: none of these tests computes on it.
MARKED = """
import os
import pytest, torch

torch.cuda.is_available = lambda: True
products = torch.backends.cuda.matmul


def state():
    return torch.get_deterministic_debug_mode(), products.allow_tf32, products.allow_bf16_reduced_precision_reduction


products.allow_tf32 = True
BEFORE = state()
assert BEFORE == (0, True, True) and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.gpu
@pytest.mark.parametrize("latent", [1])
def test_marked(latent):
    assert state() == (2, False, False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return request.param


def test_by_its_fixture(device):
    assert state() == ((2, False, False) if device == "cuda" else BEFORE)
"""


def test_tests_on_a_gpu_have_the_settings_of_a_job(project, tmp_path):
    """Otherwise they would show nothing about what a job computes there."""
    (tmp_path / "test_marked.py").write_text(MARKED, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    paths = os.pathsep.join(str(project / name) for name in ("tests", "workflow/scripts"))
    command = ["-m", "pytest", "-q", "--strict-markers", "-p", "conftest", "-p", "no:cacheprovider", "test_marked.py"]
    options = {"cwd": tmp_path, "env": environment | {"PYTHONPATH": paths}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *command], **options)
    assert "3 passed" in done.stdout, done.stdout

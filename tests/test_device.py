"""Which device a job computes on, with GPUs and a management library that are made up, and how it rounds there."""

import ctypes
import os
import re
import tempfile
import warnings
from types import SimpleNamespace

import pytest
import torch

from autoencoders.jobs import device
from autoencoders.jobs import gpu_slots as gpus
from autoencoders.jobs.errors import UserError
from autoencoders.networks import numerics

GPU = torch.device("cuda")


class Library:
    """What the driver's library answers; ``result`` is the status of the last call."""

    def __init__(self, result: int = 0) -> None:
        self.result, self.asked = result, None

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, name, handle) -> int:
        self.asked = name
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, value) -> int:
        ctypes.cast(value, ctypes.POINTER(ctypes.c_ulonglong))[0] = 2_500_000
        return self.result


def test_a_cpus_name_ends_in_its_kind():
    """By which the table of costs knows it."""
    assert re.fullmatch(r".+ \(\S+ CPU\)", device.describe(torch.device("cpu")))
    assert device.cpu_name() in device.describe(torch.device("cpu"))


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56\nGCC 12",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build", "580.65.06"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_versions_are_cudas_and_the_drivers(monkeypatch, tmp_path, text, driver):
    assert device.software(torch.device("cpu")) == {"cuda": torch.version.cuda or "none"}
    file = tmp_path / "version"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(device, "DRIVER", file)
    assert device.software(GPU) == {"cuda": torch.version.cuda or "none", "nvidia driver": driver}


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="12-ab"))


def test_energy_is_the_drivers_millijoules_of_that_gpu(monkeypatch):
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert device.energy(GPU) == 2500
    assert library.asked == b"GPU-12-ab"


def test_energy_is_none_where_nobody_tells(monkeypatch):
    assert device.energy(torch.device("cpu")) is None
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library(result=3))
    assert device.energy(GPU) is None

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert device.energy(GPU) is None


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with a number of GPUs, and CUDA_VISIBLE_DEVICES with a value or None; CUDA keeps what it first sees."""

    def make(count: int, visible: str | None) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        # Twice, so that what the code under test sets is undone as well.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        every = ",".join(map(str, range(count)))

        def seen() -> int:
            return len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",") if name])

        def available() -> bool:
            # This is the first use of CUDA: a job that has several GPUs to choose from has to have chosen.
            assert seen() <= 1
            return seen() == 1

        monkeypatch.setattr(torch.cuda, "device_count", seen)
        monkeypatch.setattr(torch.cuda, "is_available", available)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return make


def no_claim(*_):
    raise AssertionError("a lock was taken")


@pytest.mark.parametrize(("count", "visible"), [(1, None), (8, "3"), (8, "GPU-ab"), (8, "MIG-ab")])
def test_the_only_gpu_is_taken_without_a_lock(machine, monkeypatch, count, visible):
    machine(count, visible)
    monkeypatch.setattr(gpus, "claim", no_claim)
    assert device.choose_device(1, 1, 1) == GPU
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


@pytest.mark.parametrize(
    ("visible", "names"), [(None, ["0", "1"]), ("2,3", ["2", "3"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])]
)
def test_each_job_sees_a_gpu_of_its_own_where_there_are_several(machine, visible, names):
    for name in names:
        machine(2, visible)
        assert device.choose_device(1, 1, 1) == GPU
        assert os.environ["CUDA_VISIBLE_DEVICES"] == name
    assert gpus.try_claim(names, 1, 1, gpus.lock_folder()) is None


@pytest.mark.parametrize(("count", "visible"), [(0, None), (2, "")])
def test_a_gpu_that_is_promised_and_not_there_is_an_error(machine, monkeypatch, count, visible):
    machine(count, visible)
    monkeypatch.setattr(gpus, "claim", no_claim)
    with pytest.raises(UserError, match=r"sees none.*--resources gpu=0"):
        device.choose_device(1, 1, 1)


def test_without_a_slot_the_cpu_is_used_whatever_there_is(machine, monkeypatch):
    machine(2, None)
    monkeypatch.setattr(gpus, "claim", no_claim)
    assert device.choose_device(0, 4, 4) == torch.device("cpu")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_gpus_that_can_not_be_hidden_are_an_error_that_says_what_to_set(machine, monkeypatch):
    machine(2, None)
    # As it is where counting is a first use of CUDA.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="Set CUDA_VISIBLE_DEVICES=0,1 "):
        device.choose_device(1, 1, 1)


@pytest.fixture
def asked(monkeypatch):
    """What ``open_device`` asks of ``choose_device``."""
    calls = []
    monkeypatch.setattr(device, "choose_device", lambda *arguments: calls.append(arguments) or torch.device("cpu"))
    return calls


@pytest.fixture
def torchs_own(monkeypatch):
    """torch's settings, which are put back."""
    # Twice, so that what the code under test sets is undone as well.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    settings = [
        (torch.backends.cudnn, "benchmark"),
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.utils.deterministic, "fill_uninitialized_memory"),
    ]
    before, mode = [getattr(module, name) for module, name in settings], torch.get_deterministic_debug_mode()
    threads = torch.get_num_threads()
    yield
    for (module, name), value in zip(settings, before, strict=True):
        setattr(module, name, value)
    torch.set_deterministic_debug_mode(mode)
    torch.set_num_threads(threads)


def test_a_cell_asks_for_its_share_and_any_other_job_for_one_slot(asked, caplog):
    widths = {32: 4, 64: 2}
    for filters in (32, 64, 128, None):
        device.open_device(4, 1, widths, filters)
    device.open_device(2, 1, widths, 64)
    device.open_device(1, 1, {}, 128)
    device.open_device(0, 1, widths, 128)
    assert asked == [(4, 1, 4), (4, 2, 4), (4, 4, 4), (4, 1, 4), (2, 2, 4), (1, 1, 1), (0, 4, 4)]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_cell_that_was_given_too_little_takes_its_share_and_says_so(asked, caplog):
    device.open_device(2, 1, {32: 4}, 128)
    assert asked == [(2, 4, 4)]
    assert "takes 4 of the 4 slots" in caplog.text and "--resources gpu=4" in caplog.text


def test_tf32_is_off_unless_asked_for_in_convolutions_and_products_alike(torchs_own):
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numerics.repeatable(threads, tf32=True)
        assert allowed() == (True, True)
        numerics.repeatable(threads)
        assert allowed() == (False, False)


def test_every_algorithm_is_one_that_gives_the_same_numbers_again(torchs_own):
    numerics.repeatable(1)
    assert torch.get_num_threads() == 1
    assert torch.get_deterministic_debug_mode() == 2
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.backends.cudnn.benchmark
    # What a site has set stays.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    numerics.repeatable(1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"

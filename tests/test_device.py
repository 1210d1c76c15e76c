"""The device's energy counter, with a management library that is made up: there is none without a GPU."""

import ctypes
from types import SimpleNamespace

import pytest
import torch

from autoencoders import device

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

"""Weights from the Hugging Face Hub, against a server on this machine: recorded, verified, and scored with."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from running import copy_project, planned, snakemake
from safetensors.torch import save
from serving import Server

from autoencoders.data import downloads
from autoencoders.data.model_downloads import fetch_model
from autoencoders.data.prepared_images import load_images
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_npz
from autoencoders.jobs.parquet_tables import read_parquet
from autoencoders.scores.extractors.timm import preprocess, preprocessing

MODEL = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
ADDRESS = f"hf://timm/{MODEL}@main/model.safetensors"
DATA = bytes(range(256)) * 3000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def publish(server: Server, data: bytes, lfs=True, name="model.safetensors", revision="main") -> None:
    """Puts a model's repository with one file on the Hub."""
    entry = {"type": "file", "oid": "f" * 40, "size": len(data), "path": name}
    entry |= {"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 130}} if lfs else {}
    tree = f"/api/models/timm/{MODEL}/tree/{revision}?recursive=true&expand=false"
    server.files |= {
        tree: json.dumps([entry]).encode(),
        f"{tree}&cursor=2": b"[]",
        f"/api/models/timm/{MODEL}/revision/{revision}": json.dumps({"id": f"timm/{MODEL}"}).encode(),
        f"/timm/{MODEL}/resolve/{revision}/{name}": data,
    }


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        publish(server, DATA)
        yield server
        server.shutdown()


@pytest.fixture
def quick(monkeypatch) -> None:
    """Blocks of 300,000 bytes, and no waiting between attempts."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(downloads, "BLOCK", 300_000)


@pytest.mark.parametrize("lfs", [True, False])
def test_the_first_download_is_recorded_and_another_file_is_refused_until_the_record_is_deleted(
    hub, quick, tmp_path, lfs
):
    path, record = tmp_path / "timm" / f"{MODEL}@main.safetensors", tmp_path / "timm" / f"{MODEL}@main.safetensors.json"
    publish(hub, DATA, lfs)
    hub.faults = [0.5, 503]
    fetch_model(ADDRESS, path)
    assert path.read_bytes() == DATA
    recorded = record.read_bytes()
    assert json.loads(recorded) == {"address": ADDRESS, "sha256": sha256(DATA), "bytes": len(DATA)}
    # Snakemake deletes the file before its rule runs again.
    path.unlink()
    fetch_model(ADDRESS, path)
    assert path.read_bytes() == DATA and record.read_bytes() == recorded
    path.unlink()
    publish(hub, DATA[::-1], lfs)
    asked = len(hub.starts())
    with pytest.raises(UserError) as refusal:
        fetch_model(ADDRESS, path)
    for words in (ADDRESS, sha256(DATA), sha256(DATA[::-1]), "`revision`", f"To accept the new file, delete {record}."):
        assert words in str(refusal.value)
    # With the Hub's own checksum, before anything is downloaded.
    assert not path.exists() and record.read_bytes() == recorded and (len(hub.starts()) == asked) == lfs
    record.unlink()
    fetch_model(ADDRESS, path)
    assert path.read_bytes() == DATA[::-1] and json.loads(record.read_bytes())["sha256"] == sha256(DATA[::-1])


def test_what_the_hub_does_not_have_is_said_at_once_and_nothing_is_recorded(hub, quick, tmp_path):
    path = tmp_path / "weights.safetensors"
    for address in (ADDRESS.replace("main", "v2"), ADDRESS.replace("vit_tiny", "vit_small")):
        with pytest.raises(UserError, match=r"hf://timm/.*Check the extractor's model and revision"):
            fetch_model(address, path)
    hub.files.clear()
    publish(hub, DATA, name="pytorch_model.bin")
    with pytest.raises(UserError, match=r"has no such file, but .*pytorch_model\.bin.*copy the file to"):
        fetch_model(ADDRESS, path)
    assert not list(tmp_path.iterdir())


def test_a_revision_with_a_slash_and_a_token_are_sent(hub, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    publish(hub, DATA[:10], revision="refs%2Fpr%2F1")
    fetch_model(ADDRESS.replace("main", "refs%2Fpr%2F1"), tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").read_bytes() == DATA[:10]
    assert {headers.get("authorization") or headers.get("Authorization") for _, headers in hub.asked} == {
        "Bearer hf_secret"
    }


@pytest.mark.slow
def test_a_backbone_is_downloaded_and_scores_a_cell_as_timm_would(hub, project, tmp_path):
    """The chain, with weights from a seed; a second size of the same model shares its file."""
    torch.manual_seed(0)
    network = timm.create_model(MODEL)
    publish(hub, save(network.state_dict()))
    folder = copy_project(project, tmp_path)
    sizes = {"backbone": 32, "backbone.wide": 48}
    entries = {name: {"kind": "timm", "model": MODEL, "img_size": size} for name, size in sizes.items()}
    config = {"extractors": entries, "datasets": {"digits": {"extractors": list(entries)}}}
    (folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")
    results = Path("results/demo")
    scores = results / "cells/digits/dae/f2-d1-z4-s0/scores"
    targets = [f"{scores}/{name}.parquet" for name in entries]
    configs = ("config/demo.yaml", "tiny.yaml", "mine.yaml")
    snakemake(folder, *targets, configs=configs)
    downloaded = sorted(path.name for path in (folder / "resources/timm").iterdir())
    assert downloaded == [f"{MODEL}@main.safetensors", f"{MODEL}@main.safetensors.json"]
    for name, size in sizes.items():
        table = read_parquet(folder / scores / f"{name}.parquet")
        assert set(table["extractor"]) == {name} and set(table["status"]) == {"ok"}
        assert np.isfinite(table["value"]).all() and (table["value"] > 0).all()
        assert table[["extractor_accuracy", "extractor_chance"]].isna().all(axis=None)
        reference = read_npz(folder / results / f"reference/digits/{name}-test.npz")
        images = load_images(folder / results / "datasets/digits/test.npz")[reference["indices"]][:8]
        path = folder / "resources/timm" / f"{MODEL}@main.safetensors"
        options = {"num_classes": 0, "img_size": size, "pretrained_cfg_overlay": {"file": str(path)}}
        network = timm.create_model(MODEL, pretrained=True, **options).eval()
        with torch.no_grad():
            expected = network(preprocess(torch.from_numpy(images).float() / 255, preprocessing(network, size)))
        assert reference["features"].shape == (300, 192)
        np.testing.assert_allclose(reference["features"][:8], expected, rtol=1e-3, atol=1e-4)
    # Another size reruns what depends on it, and nothing else; another revision's weights are another file.
    plans = {}
    for key, value in (("img_size", 32), ("img_size", 64), ("revision", "v2")):
        entries["backbone"] = {"kind": "timm", "model": MODEL, "img_size": 32, key: value}
        (folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")
        plans[value] = set(planned(snakemake(folder, *targets, "--dry-run", configs=configs).stdout))
    assert plans == {32: set(), 64: {"sample", "reference", "score"}, "v2": {"download_extractor", *plans[64]}}

"""One cell from images to scores, by Snakemake; its training is asked to end once, and resumes.

Nothing is downloaded: images and Inception's weights come from a seed, so that the scores mean nothing.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from benchmark import plan
from benchmark.jobs import PROJECT
from benchmark.loops import BATCH
from gpu_check import rows
from gpu_check.sizes import Check
from PIL import Image

from autoencoders.config import grid, settings
from autoencoders.jobs.checkpoint_locks import lock_file
from autoencoders.jobs.checkpoints import training_checkpoint
from autoencoders.jobs.files import read_seconds
from autoencoders.jobs.parquet_tables import read_parquet

NAMES = (
    "a cell ends without an error",
    "its training resumed after SIGTERM",
    "its losses are finite",
    "all of its scores are there, and finite",
)
# Pictures that differ; a larger dataset repeats them, since encoding files takes longer than reading them.
DIFFERENT = 5_000
# Seconds that everything but training takes, most of it the start of a dozen jobs: assumed.
REST = 100
# Seconds for Inception, from which the number of scored images follows on a slow GPU.
SCORING = 25


def pictures(count: int, seed: int) -> np.ndarray:
    """uint8 (count, 32, 32, 3): smooth blobs of colour."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((count, 3, 5, 5), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    return (255 * smooth).byte().permute(0, 2, 3, 1).numpy()


def write_pictures(path: Path, count: int, seed: int) -> None:
    """A parquet file in the layout of CIFAR-10 on the Hugging Face Hub."""
    files = []
    for picture in pictures(min(count, DIFFERENT), seed):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", compress_level=1)
        files.append({"bytes": file.getvalue(), "path": None})
    files = (files * -(-count // len(files)))[:count]
    table = pa.table({"img": files, "label": [index % 10 for index in range(count)]})
    pq.write_table(table, path, row_group_size=1_000)


def course(check: Check) -> tuple[int, int]:
    """(images, epochs) of a training that takes the wanted seconds at the rate measured before."""
    least, most = check.sizes.training
    seconds = max(least, min(most, check.seconds - REST))
    rate = rows.number(check.earlier, section="training", case=check.sizes.main.name, unit="images/s")
    # Unless its rate was measured, the training is as short as it can be.
    done = seconds * rate if rate > 0 else 2 * BATCH
    images = int(max(2 * BATCH, min(check.sizes.images, done / 2)))
    return images, max(2, round(done / images))


def scored_images(check: Check, sets: int) -> int:
    rate = rows.number(check.earlier, section="features", contender="this pipeline", unit="images/s")
    return check.sizes.scored if not rate > 0 else int(min(check.sizes.scored, max(16, SCORING * rate / sets)))


def config(check: Check, folder: Path) -> dict:
    """What is laid over config/config.yaml: the paper's cell, on other images."""
    images, epochs = course(check)
    case = check.sizes.main
    scored = scored_images(check, sets=7)
    sys.path.append(str(PROJECT / "tests"))
    from conftest import seeded_inception_weights

    write_pictures(folder / "train.parquet", images, seed=0)
    write_pictures(folder / "test.parquet", max(16, min(10_000, images // 5, 2 * scored)), seed=1)
    torch.save(seeded_inception_weights(0), folder / "inception.pth")
    rates = [(0, 1e-4), (1, 1e-3), (33 * epochs // 100, 1e-4), (66 * epochs // 100, 1e-5)]
    # The paper's rates, at the same shares of fewer epochs.
    steps = {epoch: rate for epoch, rate in rates if epoch < epochs and (epoch > 1 or rate != 1e-5)}
    source = {split: f"{folder.resolve()}/{split}.parquet" for split in ("train", "test")}
    return {
        "run": ["gpu_check"],
        "run_on": ["cifar10"],
        # A training's log has a line of progress as soon as there is a checkpoint.
        "checkpoint_minutes": 0.05,
        "datasets": {
            "cifar10": {
                "source": "parquet",
                "parquet": source,
                "latent": [case.latent],
                "comparison_latent": case.latent,
            }
        },
        "experiments": {
            "gpu_check": [{"dataset": "cifar10", "model": "dae", "filters": case.filters, "latent": case.latent}]
        },
        "model_defaults": {"decoder_channels": case.decoder_channels},
        "training": {
            "epochs": epochs,
            "learning_rate": [{"epoch": epoch, "rate": rate} for epoch, rate in sorted(steps.items())],
        },
        "extractors": {"inception": {"weights": f"{folder.resolve()}/inception.pth"}},
        "scoring": {"images": scored, "train_recon_references": ["test"]},
        # Those that need no other features and no minimum of images: there is no time for all.
        "run_measures": ["frechet", "kid", "vendi"],
    }


def end_training(snakemake: subprocess.Popen, log: Path, weights: Path) -> bool:
    """Send SIGTERM to the training at its first line of progress; False if it ended, or Snakemake did, before that."""
    lock = lock_file(training_checkpoint(weights))
    while snakemake.poll() is None and not weights.exists():
        time.sleep(0.05)
        try:
            begun = ", loss " in log.read_text(encoding="utf-8")
            process = int(lock.read_text(encoding="utf-8").split()[1])
        except (OSError, ValueError, LookupError):
            continue  # The training has not begun.
        if begun:
            os.kill(process, signal.SIGTERM)
            print(f"asked the training, process {process}, to end", flush=True)
            return True
    return False


def whole_cell(check: Check) -> Iterator[dict]:
    folder, case = check.folder / "cell", check.sizes.main
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    extra = config(check, folder)
    (folder / "cell.yaml").write_text(yaml.safe_dump(extra), encoding="utf-8")
    print(f"{extra['training']['epochs']} epochs, {extra['scoring']['images']:,} images in each scored set", flush=True)
    name = f"cifar10/dae/f{case.filters}-d1-z{case.latent}-s0"
    cell, results = Path("results/cells") / name, folder / "results"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(max(2, min(8, check.machine.threads))), "--resources", f"gpu={check.machine.gpu}"]
    command += ["--retries", "1", "--quiet", "rules", "--configfile", str(folder.resolve() / "cell.yaml"), "--"]
    command += [f"{cell}/scores/inception.parquet", f"{cell}/latent.parquet"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    started = time.monotonic()
    # In this process's group, which is ended as a whole at the section's limit.
    snakemake = subprocess.Popen(command, env=environment, stderr=subprocess.STDOUT)
    cell = folder / cell
    killed = end_training(snakemake, results / "logs" / "train" / f"{name}.log", cell / "weights.safetensors")
    code = snakemake.wait()
    yield rows.value("cell", "from images to scores", "", time.monotonic() - started, "s", "with Snakemake")
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        job = file.relative_to(results / "benchmarks").with_suffix("").as_posix().replace(name, "").strip("/")
        yield rows.value("cell", job.replace("//", "/"), "", read_seconds(file), "s")
    yield rows.outcome("cell", NAMES[0], code == 0, "" if code == 0 else f"Snakemake ended with {code}; see log.txt")
    if code:
        return
    record = json.loads((cell / "cell.json").read_text(encoding="utf-8"))
    seconds = (
        f"{record['earlier_seconds']:.1f} s before and {record['seconds'] - record['earlier_seconds']:.1f} s after"
    )
    if killed:
        yield rows.outcome("cell", NAMES[1], record["resumed"] == 1, f"{record['resumed']} times; {seconds}")
    else:
        yield rows.outcome("cell", NAMES[1], None, "it ended before it could be asked to")
    yield rows.value("cell", "training", "", record["images_per_second"], "images/s", record["precision"])
    yield rows.value("cell", "training's peak memory", "", record["peak_memory_bytes"] / 2**30, "GiB")
    if record["energy_joules"] is not None:
        yield rows.value("cell", "training's energy", "", record["energy_joules"], "J")
    losses = read_parquet(cell / "history.parquet")["loss"]
    good = record["status"] == "ok" and bool(np.isfinite(losses).all()) and losses.iloc[-1] < losses.iloc[0]
    note = f"{losses.iloc[0]:.4f} in the first epoch, {losses.iloc[-1]:.4f} in the last"
    yield rows.outcome("cell", NAMES[2], good, note)
    yield scores_outcome(cell, extra)
    shutil.rmtree(folder)


def scores_outcome(cell: Path, extra: dict) -> dict:
    """Whether the cell has a finite score for each comparison and measure of its config."""
    paper = yaml.safe_load(plan.CONFIG.read_text(encoding="utf-8"))
    resolved = settings.resolve(paper | {key: extra[key] for key in ("scoring", "run_measures")})
    wanted = {(name, measure) for name in grid.comparisons(resolved) for measure in grid.running(resolved, "measures")}
    scores = read_parquet(cell / "scores" / "inception.parquet")
    finite = scores[np.isfinite(pd.to_numeric(scores["value"]))]
    missing = wanted - {*zip(finite["comparison"], finite["measure"], strict=True)}
    names = ", ".join(f"{measure} of {name}" for name, measure in sorted(missing))
    return rows.outcome("cell", NAMES[3], not missing, f"missing: {names}" if missing else f"{len(wanted)} scores")

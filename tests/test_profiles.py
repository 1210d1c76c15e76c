"""What jobs request: estimates of minutes and megabytes, and what the profiles make of them.

`sbatch` is a stand-in that records its arguments, and refuses. tests/test_slurm.py uses a real SLURM.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from running import PROJECT, copy_project
from snakemake.profiles import ProfileConfigFileParser

from autoencoders.jobs import kinds, resources
from autoencoders.latent.priors import gmm

PROFILES = sorted(file.parent.name for file in (PROJECT / "workflow" / "profiles").glob("*/config.yaml"))
CONFIGS = ("config/demo.yaml", "tiny.yaml")

# ---- estimates


@pytest.mark.parametrize(
    ("limit", "known", "text", "images"),
    [
        (None, None, None, 200_000),
        (5_000, 1_797, None, 1_797),
        # The count in dataset.json comes first, unless the file is broken.
        (800, 1_797, '{"images": {"train": 123}}', 123),
        (800, 1_797, "", 800),
        (800, 1_797, '{"images": {"train": 1e300}}', 800),
    ],
)
def test_training_images_are_counted_known_or_assumed(tmp_path, limit, known, text, images):
    info = tmp_path / "dataset.json"
    if text is not None:
        info.write_text(text, encoding="utf-8")
    assert resources.training_images({"limit": {"train": limit}}, known, info) == images


def test_sources_know_their_training_images():
    known = {kind: getattr(kinds.load("sources", kind), "training_images", None) for kind in kinds.names("sources")}
    assert [known["torchvision"]({"name": name}) for name in ("CIFAR10", "CelebA")] == [50_000, 162_770]
    assert known["sklearn"]({"name": "digits"}) == 1_797 and known["folder"] is known["parquet"] is None


def test_minutes_and_megabytes_by_hand():
    # 100 epochs of 50,000 images: 1,000 s at 5,000 images a second, and 1,950 s for 3.9e9 operations an image.
    assert resources.training_minutes(39 * 10**8, 50_000, 100) == 10 + 50
    assert resources.training_minutes(0, 0, 0) == resources.prior_minutes(0) == 10
    # 4 x 162,770 x 10 x 768 x 768 operations, 500 times: 1.92e15, or 3,840.3 s.
    mixture = {"kind": "gmm", "components": 10, "max_iter": 2000}
    assert resources.prior_minutes(gmm.operations(mixture, 162_770, 768)) == 10 + 65
    assert resources.prior_minutes(gmm.operations({**mixture, "max_iter": 100}, 162_770, 768)) == 10 + 13
    assert resources.image_megabytes(1_000, 64) == 12.288
    assert resources.code_megabytes(1_000, 500) == 4


# ---- profiles


def test_groups_of_the_slurm_profile_share_a_partition_as_the_site_says(tmp_path):
    text = (PROJECT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    site = {"gpu_partition: gpu": "long", "cpu_partition: cpu": "batch.q", "account: null": "my-group"}
    for before, after in (site | {"gpu_model: null": "nvidia_a100_1g.10gb", "longest: null": "7"}).items():
        assert text.count(f"  {before} #") == 1
        text = text.replace(f"  {before} #", f"  {before.split()[0]} {after} #")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with open(tmp_path / "config.yaml", encoding="utf-8") as stream:
        profile = ProfileConfigFileParser().parse(stream)
    assert profile["default-resources"] == ["slurm_partition=batch.q", "slurm_account=my-group"]
    # A group runs its jobs one by one, on one GPU.
    assert profile["cores"] == "1"
    groups, resources = (dict(entry.split("=", 1) for entry in profile[key]) for key in ("groups", "set-resources"))
    assert resources.pop("train:runtime") == "7"
    partitions = {name.split(":")[0]: value for name, value in resources.items() if name.endswith(":slurm_partition")}
    models = {f"{name}:gpu_model": "nvidia_a100_1g.10gb" for name in partitions}
    assert resources == models | {f"{name}:slurm_partition": "long" for name in partitions}
    text = "".join(file.read_text(encoding="utf-8") for file in (PROJECT / "workflow" / "rules").glob("*.smk"))
    rules = {rule.split(":", 1)[0]: rule for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]}
    # With a model's native prior, samples are this rule's.
    rules["sample_native"] = rules["sample"]
    with_script, with_gpu = ({name for name in rules if key in rules[name]} for key in ("script:", "gpu="))
    assert {*groups, *partitions} <= with_script
    # Rules without a group are jobs of their own, or run beside Snakemake.
    local = {"download_dataset", "download_extractor", "provenance"}
    alone = {"prepare_dataset", "prepare_validation", "prepare_external", "train", "redraw", "score_external"}
    assert with_script - groups.keys() == alone | local
    # Rules that may need a GPU run in its partition, and so do the other rules of their groups.
    groups_with_gpu = {groups.get(name) for name in with_gpu} - {None}
    expected = with_gpu | {name for name, group in groups.items() if group in groups_with_gpu}
    assert partitions.keys() == expected


@pytest.mark.parametrize(
    ("says", "gpu"),
    [
        ("24564, [N/A]\\n", 2),
        ("81559, Disabled\\n", 2),
        ("15360, [N/A]\\n", 1),
        # Each job sees one slice, which may be small.
        ("81559, Enabled\\n", 1),
        # With several GPUs, two jobs would take one each.
        ("81559, Disabled\\n81559, Disabled\\n", 1),
        ("[N/A], [N/A]\\n", 1),
        ("NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.\\n", 1),
        (None, 1),
    ],
)
def test_a_single_large_gpu_runs_two_jobs_at_once(says, gpu, tmp_path, monkeypatch):
    if says is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '{says}'\n", encoding="utf-8")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with open(PROJECT / "workflow" / "profiles" / "one-gpu" / "config.yaml", encoding="utf-8") as stream:
        profile = ProfileConfigFileParser().parse(stream)
    assert profile["resources"] == [f"gpu={gpu}"]
    assert profile.get("config") == (["cells_per_gpu={256: 2}"] if gpu == 2 else None)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_snakemake_accepts_every_line_of_a_profile(name, tmp_path):
    folder = copy_project(PROJECT, tmp_path)
    command = ["--workflow-profile", f"workflow/profiles/{name}", "all_figures", "-n", "--configfile", *CONFIGS]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^train +2$", done.stdout + done.stderr, flags=re.MULTILINE)


SBATCH = """#!/bin/sh
# What follows --wrap is the command of the job.
printf '%s\\n' "${*%%--wrap=*}" >> "$FAKE_SLURM/calls"
exit 1
"""


def submissions(folder: Path, *arguments: str) -> dict[str, list[dict[str, str]]]:
    """The options of each call of `sbatch`, by its comment."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sacct", "sacctmgr", "scontrol", "sinfo", "squeue", "sshare", "sbatch"):
        (tools / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    command = [*arguments, "--workflow-profile", "workflow/profiles/slurm", "--configfile", *CONFIGS, "mine.yaml"]
    subprocess.run(
        [sys.executable, "-m", "snakemake", *command, "--slurm-init-seconds-before-status-checks", "1"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "FAKE_SLURM": str(folder.parent)},
        timeout=300,
    )
    found = {}
    for line in (folder.parent / "calls").read_text(encoding="utf-8").splitlines():
        words = iter(shlex.split(line)[1:])
        options = {}
        for word in words:
            name, equals, value = word.partition("=")
            options[name] = value if equals else "" if name in ("--parsable", "--requeue") else next(words)
        found.setdefault(options["--comment"], []).append(options)
    return found


@pytest.mark.slow
def test_trainings_request_one_gpu_and_time_by_their_size(tmp_path):
    (tmp_path / "project").mkdir()
    folder = copy_project(PROJECT, tmp_path / "project")
    (folder / "mine.py").write_text("COST = 2.5\ndef penalty(step, options): ...\n", encoding="utf-8")
    config = """
threads: 1
training: { epochs: 2000 }
models: { mine: { penalties: { mine: { kind: mine.py, weight: 1 } } } }
datasets:
  copy: { source: parquet, torchvision: { name: CIFAR10 }, parquet: { train: "hf://datasets/a/b@main/train.parquet" } }
"""
    (folder / "mine.yaml").write_text(config, encoding="utf-8")
    prepared = [f"{name}/{split}.npz" for name in ("digits", "copy") for split in ("train", "test")]
    for file in [folder / "results/demo/datasets" / name for name in ("digits/dataset.json", *prepared)]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    cells = ("digits/dae/f2", "digits/dae/f256", "digits/mine/f256", "copy/dae/f2")
    targets = [f"results/demo/cells/{cell}-d1-z4-s0/weights.safetensors" for cell in cells]
    calls = submissions(folder, *targets, "--retries", "2")
    calls = {cell: calls[f"rule_train_wildcards_{cell.replace('/f', '_').replace('/', '_')}_1_4_0"] for cell in cells}
    minutes = {cell: [int(call["-t"]) for call in attempts] for cell, attempts in calls.items()}
    # 2,000 epochs of 800 images at 5,000 a second are 5 minutes and 20 s, with the start 16 minutes; then twice that.
    assert minutes["digits/dae/f2"] == [16, 32, 32]
    # A copy of an official dataset has as many images.
    assert minutes["copy/dae/f2"][0] == 10 + 334
    # A penalty multiplies the operations, but not the images a second or the start.
    plain, costly = (minutes[f"digits/{model}/f256"][0] - 10 - 16 / 3 for model in ("dae", "mine"))
    assert plain > 45 and costly == pytest.approx(2.5 * plain, abs=3)
    # 800 x 3 x 32 x 32 bytes, half more for testing, twice: 7.4 MB.
    assert [call["--mem"] for call in calls["digits/dae/f2"]] == ["6008", "12016", "12016"]
    call = calls["digits/dae/f2"][0]
    assert (call["--gpus"], call["--cpus-per-task"], call["-p"], call["--requeue"]) == ("1", "1", "gpu", "")
    assert "-A" not in call

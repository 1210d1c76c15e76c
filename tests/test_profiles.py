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

DATASET = {"size": 32, "limit": {"train": None}}
NO_FILE = Path("nowhere", "dataset.json")


@pytest.mark.parametrize(
    ("limit", "known", "text", "images"),
    [
        (None, None, None, 200_000),
        (None, 162_770, None, 162_770),
        (800, 1_797, None, 800),
        (5_000, 1_797, None, 1_797),
        (800, None, None, 800),
        # The count in dataset.json comes first, unless the file is broken.
        (800, 1_797, '{"images": {"train": 123}}', 123),
        (800, 1_797, "", 800),
        (800, 1_797, "[]", 800),
        (800, 1_797, '{"images": {"train": "many"}}', 800),
        (800, 1_797, '{"images": {"train": 1e300}}', 800),
    ],
)
def test_training_images_are_counted_known_or_assumed(tmp_path, limit, known, text, images):
    info = tmp_path / "dataset.json"
    if text is not None:
        info.write_text(text)
    assert resources.training_images({**DATASET, "limit": {"train": limit}}, known, info) == images


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
    assert gmm.GPU and not kinds.needs(kinds.load("priors", "mvg"), "GPU", False)
    assert resources.image_megabytes(1_000, 64) == 12.288
    assert resources.code_megabytes(1_000, 500) == 4


# ---- profiles


def test_no_profile_is_merged_into_the_others():
    """As Snakemake does with profiles/default."""
    assert PROFILES == ["one-gpu", "several-gpus", "slurm"]


def test_groups_of_the_slurm_profile_share_a_partition():
    with open(PROJECT / "workflow" / "profiles" / "slurm" / "config.yaml") as stream:
        profile = ProfileConfigFileParser().parse(stream)
    groups, resources = (dict(entry.split("=", 1) for entry in profile[key]) for key in ("groups", "set-resources"))
    partitions = {name.split(":")[0]: value for name, value in resources.items() if name.endswith(":slurm_partition")}
    text = "".join(file.read_text() for file in (PROJECT / "workflow" / "rules").glob("*.smk"))
    rules = {rule.split(":", 1)[0]: rule for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]}
    with_script, with_gpu = ({name for name in rules if key in rules[name]} for key in ("script:", "gpu="))
    assert {*groups, *partitions} <= with_script
    # Rules without a group are jobs of their own, or run beside Snakemake.
    local = {"download_dataset", "download_extractor", "provenance"}
    assert with_script - groups.keys() == {"prepare_dataset", "train"} | local
    # Rules that may need a GPU run in its partition, and so do the other rules of their groups.
    groups_with_gpu = {groups.get(name) for name in with_gpu} - {None}
    expected = with_gpu | {name for name, group in groups.items() if group in groups_with_gpu}
    assert partitions == dict.fromkeys(expected, "gpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_snakemake_accepts_every_line_of_a_profile(name, tmp_path):
    folder = copy_project(PROJECT, tmp_path)
    command = ["--workflow-profile", f"workflow/profiles/{name}", "all_figures", "-n", "--configfile", *CONFIGS]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^train +2$", done.stdout + done.stderr, flags=re.MULTILINE)


# ---- submissions

SBATCH = """#!/bin/sh
# What follows --wrap is the command of the job.
printf '%s\\n' "${*%%--wrap=*}" >> "$FAKE_SLURM/calls"
echo refused >&2
exit 1
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the project with digits prepared."""
    (tmp_path / "project").mkdir()
    folder = copy_project(PROJECT, tmp_path / "project")
    touch(folder, *(f"datasets/digits/{name}" for name in ("train.npz", "test.npz", "dataset.json")))
    return folder


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / "results/demo" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "results/demo" / file).touch()


def submissions(folder: Path, *arguments: str, config: str = "") -> tuple[dict[str, list[dict[str, str]]], str]:
    """The options of each call of `sbatch`, by its comment, and what Snakemake says."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sacct", "sacctmgr", "scontrol", "sinfo", "squeue", "sshare", "sbatch"):
        (tools / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\n")
        (tools / name).chmod(0o755)
    (folder / "mine.yaml").write_text("threads: 1\n" + config)
    command = [*arguments, "--workflow-profile", "workflow/profiles/slurm", "--configfile", *CONFIGS, "mine.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command, "--slurm-init-seconds-before-status-checks", "1"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "FAKE_SLURM": str(folder.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    found = {}
    for line in (folder.parent / "calls").read_text().splitlines():
        words = iter(shlex.split(line)[1:])
        options = {}
        for word in words:
            name, equals, value = word.partition("=")
            options[name] = value if equals else "" if name in ("--parsable", "--requeue") else next(words)
        found.setdefault(options["--comment"], []).append(options)
    return found, done.stdout


def weights(cell: str) -> str:
    return f"results/demo/cells/{cell}-d1-z4-s0/weights.safetensors"


@pytest.mark.slow
def test_trainings_request_one_gpu_and_time_by_their_size(folder):
    (folder / "mine.py").write_text("COST = 2.5\ndef penalty(step, options): ...\n")
    config = """
training: { epochs: 2000 }
models: { mine: { penalties: { mine: { kind: mine.py, weight: 1 } } } }
datasets:
  official: { source: torchvision, torchvision: { name: CIFAR10 }, limit: { train: 5000 } }
  copy: { source: parquet, torchvision: { name: CIFAR10 }, parquet: { train: "hf://datasets/a/b@main/train.parquet" } }
"""
    touch(folder, *(f"datasets/{name}/{split}.npz" for name in ("official", "copy") for split in ("train", "test")))
    cells = ("digits/dae/f2", "digits/dae/f256", "digits/mine/f256", "official/dae/f2", "copy/dae/f2")
    calls, said = submissions(folder, *map(weights, cells), "--retries", "2", config=config)
    calls = {cell: calls[f"rule_train_wildcards_{cell.replace('/f', '_').replace('/', '_')}_1_4_0"] for cell in cells}
    minutes = {cell: [int(call["-t"]) for call in attempts] for cell, attempts in calls.items()}
    # 2,000 epochs of 800 images at 5,000 a second are 5 minutes and 20 s, with the start 16 minutes; then twice that.
    assert minutes["digits/dae/f2"] == [16, 32, 32]
    # A copy of an official dataset has as many images.
    assert [minutes[f"{name}/dae/f2"][0] for name in ("official", "copy")] == [10 + 34, 10 + 334]
    # A penalty multiplies the operations, but not the images a second or the start.
    plain, costly = (minutes[f"digits/{model}/f256"][0] - 10 - 16 / 3 for model in ("dae", "mine"))
    assert plain > 45 and costly == pytest.approx(2.5 * plain, abs=3)
    # 800 x 3 x 32 x 32 bytes, half more for testing, twice: 7.4 MB.
    assert [call["--mem"] for call in calls["digits/dae/f2"]] == ["6008", "12016", "12016"]
    call = calls["digits/dae/f2"][0]
    assert (call["--gpus"], call["--cpus-per-task"], call["-p"], call["--requeue"]) == ("1", "1", "gpu", "")
    assert "-A" not in call
    assert call["--output"] == f"{folder}/results/logs/slurm/rule_train/digits_dae_2_1_4_0/%j.log"
    assert "The error message was 'refused'" in said, said[-3000:]


@pytest.mark.slow
def test_groups_are_one_job_each_as_the_site_says(folder):
    """The scores of two extractors run one by one, instead of on two GPUs; independent parts of a group are one job."""
    profile = folder / "workflow/profiles/slurm/config.yaml"
    text = profile.read_text()
    site = {"gpu_partition: gpu": "long", "cpu_partition: cpu": "batch.q", "account: null": "my-group"}
    for before, after in (site | {"gpu_model: null": "nvidia_a100_1g.10gb", "longest: null": "7"}).items():
        assert text.count(f"  {before} #") == 1
        text = text.replace(f"  {before} #", f"  {before.split()[0]} {after} #")
    profile.write_text(text)
    cell, wide = "cells/digits/dae/f2-d1-z4-s0", "cells/digits/dae/f2-d1-z16384-s0"
    touch(folder, "inception.pth", *(f"extractors/classifier-digits.{kind}" for kind in ("safetensors", "json")))
    touch(folder, *(f"{path}/{name}" for path in (cell, wide) for name in ("weights.safetensors", "cell.json")))
    extractors = ("classifier", "inception")
    touch(folder, *(f"reference/digits/{name}-{split}.npz" for name in extractors for split in ("test", "train")))
    files = [f"{cell}/{name}" for name in ("samples.png", "latent.parquet")]
    files += [*(f"{cell}/scores/{name}.parquet" for name in extractors), f"{wide}/latent.parquet"]
    files += ["tables/table1.md", "datasets/digits/preview.png"]
    targets = [f"results/demo/{name}" for name in files]
    config = "extractors: {inception: {weights: results/demo/inception.pth}}\n"
    calls, _ = submissions(folder, *targets, weights("digits/vae/f2"), "--retries", "0", config=config)
    names = ("digits-dae-f2-d1-z4-s0_encode", "digits-dae-f2-d1-z16384-s0", "train", "tables-and-figures")
    call, other, training, tables = (
        found[0] for name in names for key, found in calls.items() if key.startswith(f"rule_{name}")
    )
    assert len(calls) == sum(map(len, calls.values())) == 4
    # encode, three priors, statistics, sample, two scores, pictures.
    assert int(call["-t"]) == 10 + (10 + 10 + 11) + 10 + 10 + 2 * 15 + 5
    # The most that any of them needs: sampling, and with wide codes a prior, for 6 times 800 x 16384 float64 numbers.
    assert (call["--mem"], other["--mem"]) == ("8008", "6630")
    for job in (call, other, training):
        assert (job["--gpus"], job["--cpus-per-task"]) == ("nvidia_a100_1g.10gb:1", "1")
        assert (job["-p"], job["-A"]) == ("long", "my-group")
    assert training["-t"] == "7"
    assert "--gpus" not in tables and (tables["-p"], tables["-A"]) == ("batch.q", "my-group")

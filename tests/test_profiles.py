"""The profiles for machines and clusters: Snakemake and SLURM's plugin take them; and what jobs then ask SLURM for.

No SLURM is needed: `sbatch` is a stand-in that writes down how it was called, and refuses. tests/test_slurm.py has a
real one.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running import copy_project
from snakemake.cli import get_argument_parser
from snakemake.profiles import ProfileConfigFileParser

from autoencoders.config import grid, settings
from autoencoders.jobs import kinds
from autoencoders.jobs import resources as estimates
from autoencoders.latent.priors import gmm
from autoencoders.networks import flop_count

PROJECT = Path(__file__).parents[1]
PROFILES = sorted(file.parent.name for file in (PROJECT / "workflow" / "profiles").glob("*/config.yaml"))
CONFIGS = ("config/demo.yaml", "tiny.yaml")


def profile_file(name: str) -> Path:
    return PROJECT / "workflow" / "profiles" / name / "config.yaml"


def parsed(file: Path) -> dict:
    """A profile as Snakemake reads it: mappings as lists of KEY=VALUE."""
    with open(file) as stream:
        return dict(ProfileConfigFileParser().parse(stream))


def pairs(entries: list[str]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in entries)


def rules() -> dict[str, str]:
    """The text of every rule with a script."""
    text = "".join(file.read_text() for file in sorted((PROJECT / "workflow" / "rules").glob("*.smk")))
    found = {rule.split(":", 1)[0]: rule for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]}
    return {name: rule for name, rule in found.items() if "script:" in rule}


def test_there_is_no_profile_that_would_be_merged_into_the_others():
    assert PROFILES == ["one-gpu", "several-gpus", "slurm"]


@pytest.mark.parametrize("name", PROFILES)
def test_every_line_of_a_profile_has_a_comment(name):
    before = ""
    for line in profile_file(name).read_text().splitlines():
        explained = re.search(r"\S # \S", line) or before.lstrip().startswith("# ")
        assert not line.strip() or line.lstrip().startswith("#") or explained, line
        before = line


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_of_a_profile_is_an_option_of_snakemake_or_the_plugin(name):
    options = get_argument_parser()._option_string_actions
    assert [key for key in parsed(profile_file(name)) if f"--{key}" not in options] == []


@pytest.mark.parametrize("name", PROFILES)
def test_a_dry_run_with_a_profile_plans_the_whole_run(name, tmp_path):
    folder = copy_project(PROJECT, tmp_path)
    command = ["--workflow-profile", f"workflow/profiles/{name}", "all_figures", "-n", "--configfile", *CONFIGS]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^train +2$", done.stdout + done.stderr, flags=re.MULTILINE)


def test_the_readme_shows_the_five_lines_that_a_site_edits():
    text = profile_file("slurm").read_text()
    lines = re.search(r"these five lines -+\n(.*?)^ +# -+$", text, flags=re.MULTILINE | re.DOTALL)[1].splitlines()
    assert len(lines) == 5
    readme = (PROJECT / "README.md").read_text()
    shown = re.search(r"^## On a cluster\n.*?^```yml\n(.*?)^```", readme.replace("\n### ", "\n## "), re.M | re.S)[1]
    assert shown.splitlines() == [line.strip() for line in lines]


def test_rules_of_the_slurm_profile_exist_and_share_partitions_with_their_groups():
    profile = parsed(profile_file("slurm"))
    groups = pairs(profile["groups"])
    resources = pairs(profile["set-resources"])
    partitions = {name.split(":")[0]: value for name, value in resources.items() if name.endswith(":slurm_partition")}
    assert {*groups, *partitions} <= rules().keys()
    # What is in no group is a job of its own, or runs where Snakemake does.
    local = {"download_dataset", "download_extractor", "provenance"}
    assert rules().keys() - groups == {"prepare_dataset", "train"} | local
    # Whatever may need a GPU runs where there are some, and so does all that is in a group with it.
    with_gpu = {name for name, rule in rules().items() if "gpu=" in rule}
    groups_with_gpu = {groups.get(name) for name in with_gpu} - {None}
    expected = with_gpu | {name for name, group in groups.items() if group in groups_with_gpu}
    assert partitions == dict.fromkeys(expected, "gpu")


SBATCH = """#!/bin/sh
# What follows --wrap is the command of the job, and the same for all.
printf '%s\\n' "${*%%--wrap=*}" >> "$FAKE_SLURM/calls"
echo refused >&2
exit 1
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the project with digits prepared."""
    (tmp_path / "project").mkdir()
    folder = copy_project(PROJECT, tmp_path / "project")
    touch(folder, *(f"results/demo/datasets/digits/{name}" for name in ("train.npz", "test.npz", "dataset.json")))
    return folder


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def run_refused(folder: Path, *arguments: str, config: str = "") -> subprocess.CompletedProcess:
    """Run Snakemake by the slurm profile in a folder, where no job is accepted."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sacct", "sacctmgr", "scontrol", "sinfo", "squeue", "sshare", "sbatch"):
        (tools / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\n")
        (tools / name).chmod(0o755)
    (folder.parent / "calls").write_text("")
    (folder / "mine.yaml").write_text("threads: 1\n" + config)
    command = [*arguments, "--workflow-profile", "workflow/profiles/slurm", "--configfile", *CONFIGS, "mine.yaml"]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *command, "--slurm-init-seconds-before-status-checks", "1"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "FAKE_SLURM": str(folder.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def submissions(folder: Path, *arguments: str, config: str = "") -> list[dict[str, str]]:
    """What `sbatch` is asked for, one dict of its options for each call, by the slurm profile in a folder."""
    done = run_refused(folder, *arguments, config=config)
    lines = (folder.parent / "calls").read_text().splitlines()
    assert lines, done.stdout[-3000:]
    found = []
    for line in lines:
        words = iter(shlex.split(line)[1:])
        options = {}
        for word in words:
            name, equals, value = word.partition("=")
            options[name] = value if equals else "" if name in ("--parsable", "--requeue") else next(words)
        found.append(options)
    return found


def test_a_refused_submission_says_why(folder):
    """Snakemake keeps it to itself for groups, so that the first job in each partition is none."""
    for target in ("results/demo/datasets/digits/test.npz", weights("f2")):
        done = run_refused(folder, target, "--force", "--retries", "0")
        assert "The error message was 'refused'" in done.stdout, done.stdout[-3000:]


def weights(cell: str) -> str:
    return f"results/demo/cells/digits/dae/{cell}-d1-z4-s0/weights.safetensors"


def test_a_training_asks_for_one_gpu_and_for_more_time_after_its_first_attempt(folder):
    """Of 2,000 epochs of 800 images: 800,000 images a minute are 5 minutes and 20 s, with the start 16 minutes."""
    calls = submissions(folder, weights("f2"), "--retries", "2", config="training: {epochs: 2000}\n")
    assert [call["-t"] for call in calls] == ["16", "32", "32"]
    # Digits are 800 x 3 x 32 x 32 bytes, a half more for testing, twice: 7.4 MB.
    assert [call["--mem"] for call in calls] == ["6008", "12016", "12016"]
    for call in calls:
        assert {key: call[key] for key in ("--gpus", "--cpus-per-task", "-p", "--requeue", "--comment")} == {
            "--gpus": "1",
            "--cpus-per-task": "1",
            "-p": "gpu",
            "--requeue": "",
            "--comment": "rule_train_wildcards_digits_dae_2_1_4_0",
        }
        assert "-A" not in call
        logs = folder / "results/logs/slurm/rule_train/digits_dae_2_1_4_0"
        assert call["--output"] == f"{logs}/%j.log"


def test_a_wider_cell_asks_for_more_time(folder):
    calls = submissions(folder, weights("f2"), weights("f256"), "--retries", "0", config="training: {epochs: 2000}\n")
    minutes = {call["--comment"].split("_")[5]: int(call["-t"]) for call in calls}
    assert minutes["2"] == 16
    assert minutes["256"] > 60


def test_a_penalty_says_how_much_more_time_it_takes(folder):
    (folder / "mine.py").write_text("COST = 2.5\ndef penalty(step, options): ...\n")
    config = "training: {epochs: 2000}\nmodels: {dae: {penalties: {mine: {kind: mine.py, weight: 1}}}}\n"
    (plain,) = submissions(folder, weights("f256"), "--retries", "0", config=config.splitlines()[0] + "\n")
    (call,) = submissions(folder, weights("f256"), "--retries", "0", config=config)
    # Images a second do not change, which are 5 minutes and 20 s; nor does the start of 10 minutes.
    assert int(call["-t"]) == pytest.approx(2.5 * (int(plain["-t"]) - 10 - 16 / 3) + 10 + 16 / 3, abs=3)
    assert int(call["-t"]) > 2 * int(plain["-t"])


def test_a_site_names_its_partitions_account_gpus_and_longest_job(folder):
    profile = folder / "workflow/profiles/slurm/config.yaml"
    text = profile.read_text()
    site = {
        "gpu_partition: gpu": "gpu_partition: gpu-long",
        "cpu_partition: cpu": "cpu_partition: batch.q",
        "gpu_model: null": "gpu_model: nvidia_a100_1g.10gb",
        "account: null": "account: my-group",
        "longest: null": "longest: 7",
    }
    for before, after in site.items():
        assert text.count(f"  {before} #") == 1
        text = text.replace(f"  {before} #", f"  {after} #")
    profile.write_text(text)
    (training,) = submissions(folder, weights("f2"), "--retries", "0")
    assert training["--gpus"] == "nvidia_a100_1g.10gb:1"
    assert (training["-p"], training["-A"], training["-t"]) == ("gpu-long", "my-group", "7")
    (table,) = submissions(folder, "results/demo/tables/table1.md", "--retries", "0")
    assert "--gpus" not in table
    assert (table["-p"], table["-A"], table["-t"]) == ("batch.q", "my-group", "3")


def test_what_follows_a_training_is_one_job_with_one_gpu(folder):
    """With two extractors, whose scores are independent of each other: one by one, and not on two GPUs."""
    cell = "results/demo/cells/digits/dae/f2-d1-z4-s0"
    references = [f"{extractor}-{split}" for extractor in ("classifier", "inception") for split in ("test", "train")]
    touch(
        folder,
        "inception.pth",
        *(f"results/demo/extractors/classifier-digits.{kind}" for kind in ("safetensors", "json")),
    )
    touch(folder, *(f"results/demo/reference/digits/{name}.npz" for name in references))
    touch(folder, f"{cell}/weights.safetensors", f"{cell}/cell.json")
    targets = [f"{cell}/{name}" for name in ("scores/classifier.parquet", "scores/inception.parquet", "samples.png")]
    config = "extractors: {inception: {weights: inception.pth}}\n"
    (call,) = submissions(folder, *targets, f"{cell}/latent.parquet", "--retries", "0", config=config)
    assert call["--comment"].startswith("rule_digits-dae-f2-d1-z4-s0_encode_fit_prior_")
    assert (call["--gpus"], call["--cpus-per-task"], call["-p"]) == ("1", "1", "gpu")
    # encode, three priors (a mixture's iterations take a minute at most), statistics, sample, two scores, pictures.
    assert int(call["-t"]) == 10 + (10 + 10 + 11) + 10 + 10 + 2 * 15 + 5
    # The most that any of them needs: sampling.
    assert call["--mem"] == "8008"


def test_memory_grows_with_the_codes(folder):
    cell = "results/demo/cells/digits/dae/f2-d1-z16384-s0"
    touch(folder, f"{cell}/weights.safetensors", f"{cell}/cell.json")
    (call,) = submissions(folder, f"{cell}/latent.parquet", "--retries", "0")
    # The most that any of them needs: a prior, with 6 times 800 x 16384 float64 numbers.
    assert call["--mem"] == "6630"


def test_independent_parts_of_a_group_are_one_job(folder):
    touch(folder, "inception.pth")
    names = [f"inception-{split}" for split in ("test", "train")]
    config = "extractors: {inception: {weights: inception.pth}}\n"
    targets = [f"results/demo/reference/digits/{name}.npz" for name in [*names, "classifier-test"]]
    (call,) = submissions(folder, *targets, "--retries", "0", config=config)
    assert (call["--gpus"], call["-t"]) == ("1", str(30 + 3 * 15))
    assert call["--comment"] == "rule_extractors-digits_reference_train_extractor"


DATASET = {"size": 32, "limit": {"train": None}}
NO_FILE = Path("nowhere", "dataset.json")


def test_training_images_are_counted_known_or_assumed(tmp_path):
    assert estimates.training_images(DATASET, None, NO_FILE) == 200_000
    assert estimates.training_images(DATASET, 162_770, NO_FILE) == 162_770
    limited = {**DATASET, "limit": {"train": 800}}
    assert estimates.training_images(limited, 1_797, NO_FILE) == 800
    assert estimates.training_images({**DATASET, "limit": {"train": 5_000}}, 1_797, NO_FILE) == 1_797
    assert estimates.training_images(limited, None, NO_FILE) == 800
    info = tmp_path / "dataset.json"
    for text in ("", "[]", '{"images": 3}', '{"images": {"train": "many"}}'):
        info.write_text(text)
        assert estimates.training_images(limited, 1_797, info) == 800, text
    info.write_text(json.dumps({"images": {"train": 123}}))
    assert estimates.training_images(limited, 1_797, info) == 123


def test_sources_know_their_training_images_where_they_are_the_same_everywhere():
    known = {kind: getattr(kinds.load("sources", kind), "training_images", None) for kind in kinds.names("sources")}
    assert {kind for kind, count in known.items() if count is None} == {"folder", "parquet"}
    sizes = {name: known["torchvision"]({"name": name}) for name in ("CIFAR10", "CIFAR100", "CelebA")}
    assert sizes == {"CIFAR10": 50_000, "CIFAR100": 50_000, "CelebA": 162_770}
    assert known["sklearn"]({"name": "digits"}) == 1_797


@pytest.mark.parametrize("source", ["torchvision", "parquet"])
def test_a_copy_of_an_official_dataset_counts_as_many_images(folder, source):
    config = f"""
datasets:
  copy:
    source: {source}
    torchvision: {{ name: CIFAR10 }}
    parquet: {{ train: "hf://datasets/uoft-cs/cifar10@main/train.parquet" }}
training: {{ epochs: 100 }}
"""
    touch(folder, "results/demo/datasets/copy/train.npz", "results/demo/datasets/copy/test.npz")
    target = "results/demo/cells/copy/dae/f2-d1-z4-s0/weights.safetensors"
    (call,) = submissions(folder, target, "--retries", "0", config=config)
    # 5e6 images, of a small network 5,000 a second.
    assert call["-t"] == "27"


def test_minutes_of_training():
    # By hand: 100 epochs of 50,000 images are 5e6 images: 1,000 s at 5,000 a second, and 1,950 s of 3.9e9 operations.
    assert estimates.training_minutes(39 * 10**8, 50_000, 100) == 10 + 50
    assert estimates.training_minutes(0, 0, 0) == 10


@pytest.mark.parametrize("axis", range(3))
def test_more_of_anything_takes_longer(axis):
    arguments = [10**10, 50_000, 100]
    before = estimates.training_minutes(*arguments)
    arguments[axis] *= 2
    assert estimates.training_minutes(*arguments) > before


def test_minutes_of_a_prior():
    mixture = {"kind": "gmm", "components": 10, "max_iter": 2000}
    # By hand: 4 x 162,770 x 10 x 768 x 768 operations, 500 times: 1.92e15, or 3,840.3 s.
    assert estimates.prior_minutes(gmm.operations(mixture, 162_770, 768)) == 10 + 65
    assert estimates.prior_minutes(gmm.operations({**mixture, "max_iter": 100}, 162_770, 768)) == 10 + 13
    assert estimates.prior_minutes(0) == 10


def test_only_mixtures_ask_for_a_gpu_and_for_minutes():
    for kind in kinds.names("priors"):
        prior = kinds.load("priors", kind)
        assert kinds.needs(prior, "GPU", False) == hasattr(prior, "operations") == (kind == "gmm")


def test_megabytes():
    assert estimates.image_megabytes(1_000, 64) == 12.288
    assert estimates.code_megabytes(1_000, 500) == 4


def test_the_papers_longest_training_fits_into_a_night(project):
    """What README says of it."""
    config = settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text()))
    minutes = []
    for cell in grid.cells(config):
        network = grid.network_options(config, {key: str(value) for key, value in cell.items()})
        dataset = config["datasets"][cell["dataset"]]
        source = kinds.load("sources", dataset["source"])
        images = estimates.training_images(dataset, source.training_images(dataset[dataset["source"]]), NO_FILE)
        flops = flop_count.training_flops(network, config["models"][cell["model"]]["frozen_latent"])
        minutes.append(estimates.training_minutes(flops, images, config["training"]["epochs"]))
    assert (min(minutes), max(minutes)) == (31, 597)

"""The pipeline on the real SLURM of tests/slurm/start: one run through the profile. Its trainings are interrupted in
every way that clusters know, and its results must be those of an undisturbed run.

The GPUs that SLURM assigns are fake, and networks train on the CPU. Everything else is what a user runs.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from interrupting import progress
from running import append, copy_project, hold_trainings, snakemake, started, wait_until

pytestmark = pytest.mark.slow

CONFIGS = ("config/demo.yaml", "tiny.yaml", "mine.yaml")
MODELS = ("dae", "vae")
CELL = "results/demo/cells/digits/{}/f8-d1-z4-s0"
CONFIG = """
threads: 1
checkpoint_minutes: 0.02
run: [width]
experiments: { width: [{ dataset: digits, model: [dae, vae], filters: 8 }] }
training: { epochs: 10 }
"""

# At the end of the copy's device.py. A lock, held until the job ends, shows that a GPU belongs to one job at a time.
DEVICE = """

def choose_device(gpu: int, wanted: int, slots: int) -> torch.device:
    import filelock

    global held
    if gpu:
        assert gpu == 1
        number = os.environ["CUDA_VISIBLE_DEVICES"]
        held = filelock.FileLock(f"gpus/{number}")
        # Another job may hold it for a moment, below.
        held.acquire(timeout=1)
        other = filelock.FileLock(f"gpus/{1 - int(number)}")
        try:
            other.acquire(blocking=False)
            other.release()
            beside = "alone"
        except filelock.Timeout:
            beside = "beside"
        with open("gpus/log", "a") as log:
            print(number, beside, file=log)
    return torch.device("cpu")
"""

# By default the plugin waits ten seconds longer after each check in which no job has ended.
IMPATIENT = """
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)
main()
"""


def ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def cluster(project) -> None:
    """The SLURM of tests/slurm/start, with all its nodes up. No other one: these tests kill nodes."""
    if not shutil.which("sinfo"):
        pytest.skip("no SLURM here: tests/slurm/start sets one up on this machine (Debian or Ubuntu, as root)")
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60).stdout
    if not re.search(r"^ClusterName += tests-of-autoencoders$", shown, flags=re.MULTILINE):
        pytest.skip("the SLURM of tests/slurm/start does not answer")
    if os.geteuid() != 0:
        pytest.skip("nodes are killed and started again, which only root can")
    ask(str(project / "tests" / "slurm" / "start"))


@dataclass
class Run:
    """One run of Snakemake on SLURM."""

    folder: Path
    process: subprocess.Popen

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """SLURM's jobs of this run, in the order of their submission."""
        name = re.search(r"SLURM run ID: (\S+)", self.output)
        if name is None:
            return []
        fields = {"id": "%A", "state": "%T", "limit": "%l", "partition": "%P", "comment": "%k", "gpus": "%b"}
        shown = ask("squeue", "-h", "--states", states, "--name", name[1], "-o", "|".join(fields.values()))
        rows = [dict(zip(fields, line.split("|"), strict=True)) for line in shown.splitlines()]
        return sorted(rows, key=lambda job: int(job["id"]))

    def trainings(self, model: str) -> list[dict[str, str]]:
        """The jobs that train a model's cell, in the order of their submission."""
        return [job for job in self.jobs() if job["comment"] == f"rule_train_wildcards_digits_{model}_8_1_4_0"]

    def wait(self, condition, what: str) -> None:
        try:
            wait_until(condition, self.process, seconds=600)
        except AssertionError as error:
            pytest.fail(f"waiting until {what}: {error}\n{self.jobs()}\n{self.output[-5000:]}")

    def start_again(self, number: str) -> None:
        """Let a requeued job start in ten seconds; otherwise it waits for two minutes. First SLURM lets the node end
        what ran there, which would end the new job too.
        """
        self.wait(lambda: number in [job["id"] for job in self.jobs("pending")], f"job {number} is requeued")
        ask("scontrol", "update", f"JobId={number}", "StartTime=now+10")

    def wait_for_training(self, model: str, resumed: int) -> None:
        """Until a model has written a checkpoint after resuming so many times: then it waits."""

        def has_begun() -> bool:
            cell = self.folder / CELL.format(model)
            return (cell / "checkpoint.safetensors").exists() and progress(cell)["resumed"] == resumed

        self.wait(has_begun, f"{model} trains after {resumed} interruptions")


def lose_power(node: str) -> None:
    """Kill a node's daemon, its jobs and all that they started, at once."""
    lost = [psutil.Process(int(Path(f"/run/slurm/{node}.pid").read_text(encoding="utf-8")))]
    for job in ask("squeue", "-h", "--nodelist", node, "-o", "%A").split():
        for process in psutil.process_iter(["cmdline"]):
            if " ".join(process.info["cmdline"] or []).startswith(f"slurmstepd: [{job}."):
                lost += [process, *process.children(recursive=True)]
    for process in lost:
        process.send_signal(signal.SIGKILL)


def state_of(node: str) -> str:
    return re.search(r"State=(\w+)", ask("scontrol", "show", "node", node))[1].lower()


def prepare(project: Path, folder: Path) -> Path:
    folder.mkdir()
    copy_project(project, folder)
    # As `make` puts it there; jobs are started by shells.
    (folder / ".venv").symlink_to(sys.prefix)
    package = folder / "workflow" / "scripts" / "autoencoders"
    append(package / "jobs" / "device.py", DEVICE)
    hold_trainings(folder)
    profile = folder / "workflow" / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text(encoding="utf-8")
    assert text.count("gpu_model: null") == 1
    profile.write_text(text.replace("gpu_model: null", "gpu_model: fake"), encoding="utf-8")
    (folder / "mine.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "gpus").mkdir()
    return folder


@pytest.fixture(scope="module")
def run(cluster, project, tmp_path_factory):
    """A run that builds all figures, although both trainings are interrupted: see ``disturb``."""
    folder = prepare(project, tmp_path_factory.mktemp("slurm") / "a disturbed run")
    (folder / "hold").touch()
    command = ["--workflow-profile", "workflow/profiles/slurm", "all_figures"]
    command += ["--slurm-init-seconds-before-status-checks", "1", "--configfile", *CONFIGS]
    with started(folder, [str(folder / ".venv/bin/python"), "-c", IMPATIENT, *command]) as process:
        run = Run(folder, process)
        try:
            disturb(run, project)
            (folder / "hold").unlink()
            process.wait(900)
            yield run
        finally:
            for job in run.jobs("pending,running"):
                ask("scancel", job["id"])


def disturb(run: Run, project: Path) -> None:
    """Interrupt the DAE's training twice, and the VAE's three times."""
    run.wait_for_training("dae", 0)
    # The shortest time limit: SLURM counts in minutes, and checks every half minute.
    ask("scontrol", "update", f"JobId={run.trainings('dae')[-1]['id']}", "TimeLimit=1")

    run.wait_for_training("vae", 0)
    ask("scancel", run.trainings("vae")[-1]["id"])
    run.wait_for_training("vae", 1)
    requeued = run.trainings("vae")[-1]["id"]
    ask("scontrol", "requeue", requeued)
    run.start_again(requeued)
    run.wait_for_training("vae", 2)

    run.wait_for_training("dae", 1)
    both = [run.trainings(model)[-1]["id"] for model in MODELS]
    assert requeued in both, f"{run.jobs()}\n{run.output[-5000:]}"
    lose_power("node1")
    run.wait(lambda: state_of("node1") == "down", "SLURM misses the node")
    ask(str(project / "tests" / "slurm" / "start"))
    for number in both:
        run.start_again(number)
    run.wait_for_training("dae", 2)
    run.wait_for_training("vae", 3)
    assert [run.trainings(model)[-1]["id"] for model in MODELS] == both, run.jobs()


def test_the_run_ends_well_and_its_trainings_resumed_from_their_checkpoints(run):
    assert run.process.returncode == 0, run.output[-5000:]
    assert (run.folder / "results/demo/figures/contact_sheet.pdf").exists()
    resumed = {}
    for model in MODELS:
        cell = run.folder / CELL.format(model)
        resumed[model] = json.loads((cell / "cell.json").read_text(encoding="utf-8"))["resumed"]
        assert (cell / "samples.png").exists() and not (cell / "checkpoint.safetensors").exists()
        # Image sets are temporary, in a group too.
        assert not list(cell.glob("images/*"))
    # DAE: time limit, dead node. VAE: scancel, requeue, dead node.
    assert resumed == {"dae": 2, "vae": 3}


def test_weights_are_those_of_an_undisturbed_run_without_slurm(run, project, tmp_path):
    folder = prepare(project, tmp_path / "undisturbed")
    files = [f"{CELL.format(model)}/{name}" for model in MODELS for name in ("weights.safetensors", "history.parquet")]
    snakemake(folder, *files, configs=CONFIGS)
    for file in files:
        assert (run.folder / file).read_bytes() == (folder / file).read_bytes(), file


def test_each_gpu_belongs_to_one_job_at_a_time_and_both_are_used(run):
    """A second job would have failed to lock it."""
    log = [line.split() for line in (run.folder / "gpus" / "log").read_text(encoding="utf-8").splitlines()]
    # Trainings with their interruptions; a classifier and its references; encode, a mixture, sample and score of each.
    assert len(log) == (2 + 2 + 3) + 3 + 2 * 4
    assert {number for number, _ in log} == {"0", "1"} and "beside" in {company for _, company in log}


def test_short_jobs_share_one_submission_that_names_their_cell(run):
    rules = "draw_samples_encode_fit_prior_latent_statistics_pictures_..."
    tables = "collect_latent_statistics_contact_sheet_figure_latent_figure_learning_curves_..."
    expected = ["rule_prepare_dataset_wildcards_digits", "rule_extractors-digits_reference_train_extractor"]
    expected += [f"rule_digits-{model}-f8-d1-z4-s0_{rules}" for model in MODELS]
    expected.append(f"rule_tables-and-figures_{tables}")
    # Each was submitted twice: jobs that SLURM itself requeues keep their number.
    expected += 2 * [f"rule_train_wildcards_digits_{model}_8_1_4_0" for model in MODELS]
    jobs = run.jobs()
    assert sorted(job["comment"] for job in jobs) == sorted(expected)
    assert {job["partition"] for job in jobs} == {"cpu", "gpu"}


def test_a_failed_job_gets_more_time_and_its_log_is_kept(run):
    for model, state in (("dae", "TIMEOUT"), ("vae", "CANCELLED")):
        first, second = run.trainings(model)
        assert (first["state"], second["state"]) == (state, "COMPLETED")
        assert second["limit"] == "22:00"
        log = run.folder / f"results/logs/slurm/rule_train/digits_{model}_8_1_4_0/{first['id']}.log"
        assert "interrupted by SIGTERM" in log.read_text(encoding="utf-8")

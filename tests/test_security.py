"""No download, result file or config can run code or write outside its folder, except Python files that a config names
as kinds. Archives are in tests/test_sources.py.
"""

import contextlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from running import copy_project, snakemake

from autoencoders.config import settings
from autoencoders.data import first_look
from autoencoders.data.downloads import hub_folder
from autoencoders.data.pictures import split_of_files
from autoencoders.data.preparation import prepare_split
from autoencoders.data.prepared_images import load_images, load_labels
from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet
from autoencoders.evidence.table_files import Section, to_html, to_latex
from autoencoders.jobs import kinds
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_json, read_npy, read_npz
from autoencoders.jobs.fingerprints import Contents
from autoencoders.jobs.parquet_tables import read_parquet
from autoencoders.networks.weights import load_weights
from autoencoders.scores.cell_scores import read_reference
from autoencoders.scores.extractors import classifier, inception, random, timm

CPU = torch.device("cpu")


@pytest.fixture
def marker(tmp_path) -> Path:
    """The folder that a successful attack creates."""
    return tmp_path / "pwned"


class Attack:
    """Creates the folder ``path`` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def dumped(save) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


# ---- pickles

ARRAYS = ["images", "labels", "extractor_sha256", "weights", "format"]
# An attack's bytes in each format that a reader might accept.
DISGUISES = {
    "pickle": lambda attack: pickle.dumps({"images": attack, "status": attack}, protocol=5),
    "torch": lambda attack: dumped(lambda file: torch.save({"weight": attack}, file)),
    "old torch": lambda attack: dumped(
        lambda file: torch.save({"a": attack}, file, _use_new_zipfile_serialization=False)
    ),
    "npy": lambda attack: dumped(lambda file: np.save(file, np.array([attack], object))),
    "npz": lambda attack: dumped(lambda file: np.savez(file, **dict.fromkeys(ARRAYS, np.array([attack], object)))),
}
# The reader of each kind of file in results/ and resources/.
READERS = {
    "weights.safetensors": lambda path: load_weights(path, CPU),
    "classifier.safetensors": lambda path: classifier.load(path, CPU),
    "random.safetensors": lambda path: random.load(path, CPU),
    "backbone.safetensors": lambda path: timm.load(path, CPU, model="resnet10t.c3_in1k", img_size=32),
    "pt_inception.pth": lambda path: inception.load(path, CPU),
    "codes.npy": read_npy,
    "priors.npz": read_npz,
    "train.npz": load_images,
    "labels.npz": load_labels,
    "reference.npz": lambda path: read_reference(path, "0", CPU),
    "cell.json": read_json,
    "scores.parquet": read_parquet,
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_pickle_in_place_of_a_file_does_not_run(tmp_path, marker, disguise, caplog):
    data = DISGUISES[disguise](Attack(marker))
    for name, read in READERS.items():
        path = tmp_path / name
        path.write_bytes(data)
        try:
            read(path)
        except UserError as error:
            # PyTorch and NumPy advise to switch the protection off.
            assert name in str(error) and not re.search("weights_only|allow_pickle", str(error))
        assert not marker.exists()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(data)
    assert Checkpoint(path, "key", 10).load() is None
    assert not marker.exists() and "is not a readable checkpoint" in caplog.text
    # The attack is real: an unsafe reader runs it.
    if "torch" in disguise:
        torch.load(io.BytesIO(data), weights_only=False)
    else:
        found = np.load(io.BytesIO(data), allow_pickle=True)
        _ = found["images"] if disguise == "npz" else found
    assert marker.exists()


def test_no_module_can_run_what_it_reads(project):
    """No pickle, eval, unsafe YAML or shell, by ruff's rules; calls of PyTorch and NumPy forbid pickles."""
    rules = "S102,S301,S302,S307,S506,S602,S604,S605,S609"
    check = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", rules, project / "workflow"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    safe, loading = {"torch": "weights_only=True", "np": "allow_pickle=False", "numpy": "allow_pickle=False"}, []
    for module in (project / "workflow").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        for library, arguments in re.findall(r"\b(torch|np|numpy)\.load\(([^)]*)\)", text):
            assert safe[library] in arguments, module
        assert not re.search(r"import (pickle|joblib|dill|marshal|shelve)|allow_pickle=True|hub\.load\(", text), module
        loading += [module.name] * len(re.findall(r"import_module\(|exec_module\(|runpy", text))
    # Only kinds.py loads code by name: a kind's module, or a file that the config names.
    assert loading == ["kinds.py"] * 2


@pytest.mark.parametrize("group", kinds.FOLDERS)
def test_a_kind_is_one_of_its_folder(tmp_path, marker, group):
    """A config names files of penalties, priors and measures alone, and those are run: it is its author's code."""
    (tmp_path / "mine.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n", encoding="utf-8")
    others = ["os", "__init__", "../../jobs/job", "autoencoders.jobs.job", "kl.", "", "/tmp", "mine", "mvg\n"]
    for kind in others + [str(tmp_path / "mine.py")] * (group not in kinds.FROM_ELSEWHERE):
        with pytest.raises(UserError, match=r"is not a kind\..* Write (one of|the path of your own Python file)"):
            kinds.load(group, kind)
    assert not marker.exists()


# ---- names

HOSTILE = [
    *("../evil", "..", ".", "/tmp/evil", "a/b", "a\\b", "~", "x; touch pwned", "$(touch pwned)", "`touch pwned`"),
    *("x|y", "x y", "x\ty", "x'y", 'x"y', "*", "?", "x\n", "\nx", "x\x00", "-rf", ".hidden", "_x", "", "{dataset}"),
    # Fullwidth full stops and slash, a Roman numeral, a Greek omicron, an Arabic digit, direction marks.
    *("\uff0e\uff0e\uff0fevil", "\u217difar10", "cifar1\u03bf", "cifar1\u0660", "\u202egnp", "x\u200b", "x" * 101),
    *("<results>", "%s"),
]


CONFIG = """
run: [e]
datasets: {d: {source: sklearn, sklearn: {name: digits}, latent: 4}}
models: {m: {penalties: {}}}
experiments: {e: [{dataset: d, model: m, filters: 2}]}
priors: {p: {kind: mvg}}
measures: {frechet: {kind: frechet}}
"""


@pytest.mark.parametrize("kind", ["datasets", "models", "penalties", "priors", "measures", "experiments"])
def test_a_name_that_cannot_be_a_folder_is_refused(kind):
    for name in HOSTILE:
        config = yaml.safe_load(CONFIG)
        entries = config["models"]["m"]["penalties"] if kind == "penalties" else config[kind]
        entries[name] = next(iter(entries.values()), {"kind": "kl", "weight": 1})
        with pytest.raises(UserError, match=rf"{kind}: .* can't be used here\. Write letters, digits"):
            settings.resolve(config)


@pytest.mark.parametrize("key", ["results", "resources"])
def test_a_folder_that_leads_elsewhere_is_refused(key):
    for folder in ("..", "../x", "x/../../y", "x\n/../y", "x\n", "x\x00", "~/x", "{dataset}", "<cell>", "", " ", "x "):
        with pytest.raises(UserError, match=rf"pathvars\.{key}: .* can't be used here\. Write a folder as in"):
            settings.resolve({**yaml.safe_load(CONFIG), "pathvars": {key: folder}})


def test_files_on_the_hub_get_a_folder_below_the_downloads(tmp_path):
    config = yaml.safe_load(CONFIG)
    outside = ("../..@main/x", "a/..@main/x", "./b@main/x", "a/b@../x", "a/b@%2e%2e/x", "a/b@./x")
    for address in (*outside, "a/b/x", "b@main/x", "a/b@main/"):
        config["datasets"]["d"] = {"source": "parquet", "parquet": {"train": f"hf://datasets/{address}"}, "latent": 4}
        resolved = settings.resolve(config)
        (fault,) = first_look.find_misfits(resolved["datasets"], resolved["pathvars"], Contents(tmp_path / "none"))
        assert fault.startswith(f"datasets.d: 'hf://datasets/{address}' does not name files")
    assert hub_folder("hf://datasets/a/b@..%2f..%2fx/x", tmp_path) == tmp_path / "a" / "b" / "..%2F..%2Fx"


@pytest.mark.slow
def test_no_shell_interprets_a_path_and_no_rule_writes_outside(project, tmp_path):
    """The name of a results folder may contain anything."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copy_project(project, checkout)
    name = "r e's\"; touch pwned; $(touch pwned) `touch pwned` | touch pwned & *?[a] -é %s #"
    (checkout / "one.yaml").write_text(f"run: [noise]\npathvars: {{ results: {json.dumps(name)} }}\n", encoding="utf-8")
    before = {path.name for path in checkout.iterdir()} | {".snakemake"}
    snakemake(checkout, "all_models", configs=("config/demo.yaml", "tiny.yaml", "one.yaml"))
    assert {path.name for path in checkout.iterdir()} - before == {name}
    assert len(list((checkout / name).glob("cells/digits/dae/*/weights.safetensors"))) == 1
    assert not list(checkout.rglob("pwned"))
    for target in (
        "../../../evil/dae/f2-d1-z4-s0/weights.safetensors",
        "digits/dae/f2-d1-z4-s0/priors/../../../../../../evil.npz",
        "digits/dae/f2-d1-z4-s\u0660/weights.safetensors",
    ):
        done = snakemake(checkout, "-n", f"results/demo/cells/{target}", check=False)
        assert done.returncode == 1 and "No rule to produce" in done.stdout


SCRIPT = """**<script>alert(1)</script>** "><img src=x onerror='alert(1)'> </td></table><iframe src=//x> &lt;b&gt;"""
LATEX = r"\input{/etc/passwd} \immediate\write18{touch pwned} ^^5cinput $x$ %"


def test_no_text_becomes_a_tag_of_a_page_or_a_command_of_latex():
    rows = pd.DataFrame({SCRIPT: [SCRIPT, "1.0"], "Model": ["DAE", SCRIPT]})
    page = to_html(SCRIPT, [Section(SCRIPT, SCRIPT, rows)])
    assert "&lt;script&gt;alert" in page and not re.search(r"<(script>alert|img|iframe)|<[^>]*onerror", page)
    rows = pd.DataFrame({LATEX: [LATEX, "1.0"], "Model": ["DAE", f"**{LATEX}**"]})
    text = to_latex("Title", [Section(LATEX, LATEX, rows)], name="table").replace(r"\textbackslash{}", "")
    # TeX reads ^^5c as a backslash.
    assert not re.search(r"\\(input|immediate|write)|\^\^", text)


# ---- images


def test_links_in_a_folder_of_images_neither_hang_nor_repeat_images(tmp_path):
    """Links to folders are followed only at the level of classes."""
    cats, options = tmp_path / "images" / "cats", {"train": str(tmp_path / "images")}
    cats.mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(cats / "a.png")
    for name, target in (("up", ".."), ("self", "."), ("zero.png", "/dev/zero"), ("../dogs", "cats")):
        (cats / name).symlink_to(target)
    os.mkfifo(cats / "pipe.png")
    source = folders.splits(options, "unused")["train"]
    assert (len(source), source.labels.tolist()) == (2, [0, 1])
    assert prepare_split(source, None, 32)[0].shape == (2, 3, 32, 32)
    (cats / "secret.png").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"secret\.png cannot be read as an image"):
        prepare_split(folders.splits(options, "unused")["train"], None, 32)


BOMB = dumped(lambda file: Image.new("1", (20_000, 10_000)).save(file, "PNG"))
# A program that Pillow passes to Ghostscript.
PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    ("reason", "data"), [("could be decompression bomb", BOMB), ("identify", PROGRAM)], ids=["bomb", "program"]
)
def test_no_picture_fills_the_memory_or_starts_a_program(tmp_path, monkeypatch, marker, reason, data):
    """Whether it is a file, as in a folder or CelebA, or a row of a parquet file."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\nmkdir -p {marker}\nexit 1\n", encoding="utf-8")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # Pillow looks for Ghostscript once a process.
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    (tmp_path / "a.png").write_bytes(data)
    pq.write_table(pa.table({"image": pa.array([data], pa.binary())}), tmp_path / "train.parquet")
    table = parquet.splits({"train": str(tmp_path / "train.parquet"), "image": "image"}, tmp_path)["train"]
    for split, where in ((split_of_files([tmp_path / "a.png"], None), "a.png"), (table, "train.parquet, row 0")):
        with pytest.raises(UserError, match=rf"{where} cannot be read as an image: .*{reason}.*Replace or remove it"):
            prepare_split(split, None, 32)
    assert not marker.exists()
    if data == PROGRAM:
        # The attack is real.
        with contextlib.suppress(Exception):
            Image.open(io.BytesIO(data)).load()
        assert marker.exists()

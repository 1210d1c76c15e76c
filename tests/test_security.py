"""Nothing that is downloaded, found in the results folder or written in a config can run code or leave its folder.

But for the Python files that a config names as kinds of its own.
"""

import ast
import contextlib
import html.parser
import io
import json
import os
import pickle
import shutil
import signal
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from running import copy_project, snakemake

from autoencoders.config import settings
from autoencoders.data import first_look
from autoencoders.data.downloads import hub_folder, parse_hub
from autoencoders.data.pictures import Split
from autoencoders.data.preparation import prepare_split
from autoencoders.data.prepared_images import load_images, load_labels
from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet, torchvision
from autoencoders.evidence.table_files import Section, to_html, to_latex
from autoencoders.jobs import kinds
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_json, read_npy, read_npz
from autoencoders.jobs.parquet_tables import read_parquet
from autoencoders.networks.weights import load_weights
from autoencoders.scores.cell_scores import read_reference
from autoencoders.scores.extractors import classifier, inception

CPU = torch.device("cpu")


@pytest.fixture
def marker(tmp_path) -> Path:
    """What an attack makes when it succeeds; no test may leave it behind."""
    return tmp_path / "pwned"


class Attack:
    """Unpickled, it makes the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def dumped(save) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


# ---- pickles

# In each format that a reader might fall for: the bytes of an attack.
DISGUISES = {
    "pickle 0": lambda attack: pickle.dumps(attack, protocol=0),
    "pickle 2": lambda attack: pickle.dumps(attack, protocol=2),
    "pickle 5": lambda attack: pickle.dumps({"images": attack, "status": attack}, protocol=5),
    "torch": lambda attack: dumped(lambda file: torch.save({"weight": attack}, file)),
    "old torch": lambda attack: dumped(
        lambda file: torch.save({"weight": attack}, file, _use_new_zipfile_serialization=False)
    ),
    "npy": lambda attack: dumped(lambda file: np.save(file, np.array([attack], object), allow_pickle=True)),
    "npz": lambda attack: dumped(
        lambda file: np.savez(
            file,
            allow_pickle=True,
            **dict.fromkeys(["images", "labels", "extractor_sha256", "weights", "format"], np.array([attack], object)),
        )
    ),
}
# What reads each kind of file in results/ and resources/.
READERS = {
    "weights.safetensors": lambda path: load_weights(path, CPU),
    "classifier.safetensors": lambda path: classifier.load(path, CPU),
    "pt_inception.pth": lambda path: inception.load(path, CPU),
    "codes.npy": read_npy,
    "priors.npz": read_npz,
    "train.npz": load_images,
    "labels.npz": load_labels,
    "reference.npz": lambda path: read_reference(path, "0", CPU),
    "cell.json": read_json,
    "scores.parquet": read_parquet,
}
# Zip archives that a reader of arrays takes for one of its own, and gives the bytes of, or says to be without arrays.
HARMLESS = {("codes.npy", "npz"), ("codes.npy", "torch"), ("priors.npz", "torch"), ("labels.npz", "torch")}
HARMLESS |= {("reference.npz", "torch")}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_attacks_are_real(tmp_path, marker, disguise):
    """Read without care, each of them succeeds."""
    data = DISGUISES[disguise](Attack(marker))
    if "torch" in disguise:
        torch.load(io.BytesIO(data), weights_only=False)
    elif disguise == "npz":
        np.load(io.BytesIO(data), allow_pickle=True)["images"]
    else:
        np.load(io.BytesIO(data), allow_pickle=True)
    assert marker.exists()


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_place_of_a_result_does_not_run(tmp_path, marker, name, disguise):
    path = tmp_path / name
    path.write_bytes(DISGUISES[disguise](Attack(marker)))
    refused = pytest.raises(UserError) if (name, disguise) not in HARMLESS else contextlib.suppress(Exception)
    with refused as refusal:
        READERS[name](path)
    assert not marker.exists()
    if refusal is not None:
        assert name in str(refusal.value)


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_pickle_in_place_of_a_checkpoint_does_not_run(tmp_path, marker, caplog, disguise):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(DISGUISES[disguise](Attack(marker)))
    assert Checkpoint(path, "key", 10).load() is None
    assert not marker.exists()
    assert "is no readable checkpoint" in caplog.text and "starts over" in caplog.text


def test_a_column_of_pickles_in_parquet_stays_bytes(tmp_path, marker):
    """In scores, and where images are expected; a pickled extension type and index are not looked into either."""
    attack = pickle.dumps(Attack(marker))
    extension = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": attack}
    index = {"index_columns": [attack.decode("latin1")], "columns": [], "column_indexes": [], "attributes": {}}
    fields = [pa.field("image", pa.binary()), pa.field("label", pa.int64(), metadata=extension)]
    schema = pa.schema(fields, metadata={"pandas": json.dumps(index), "PANDAS_ATTRS": attack})
    pq.write_table(pa.table([[attack], [1]], schema=schema), tmp_path / "attack.parquet")
    # No index has such a name.
    with contextlib.suppress(UserError, KeyError):
        read_parquet(tmp_path / "attack.parquet")
    source = parquet.splits({"train": f"{tmp_path}/attack.parquet", "image": "image"}, tmp_path)["train"]
    with pytest.raises(UserError, match=r"attack\.parquet, row 0 cannot be read as an image"):
        prepare_split(source, None, 32)
    assert not marker.exists()


# What deserialises code, or hands text to a shell or an interpreter.
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pandas.read_pickle"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "torch.jit.load", "torch.hub.load", "torch.package"),
    *("importlib.import_module", "runpy.run_path", "runpy.run_module"),
}
# What is safe with an argument alone.
REQUIRED = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}


def dangers(code: str) -> list[str]:
    """What in a module's code might run what it reads, a line each."""
    tree = ast.parse(code)
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                known[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            known |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}

    def full_name(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full_name(node.value)}.{node.attr}"
        return known.get(node.id, node.id) if isinstance(node, ast.Name) else "?"

    found = [name for name in known.values() if name.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and full_name(node) in FORBIDDEN_ATTRIBUTES | FORBIDDEN_NAMES:
            found.append(f"line {node.lineno}: {full_name(node)}")
        if isinstance(node, ast.Attribute) and node.attr == "exec_module":
            found.append(f"line {node.lineno}: exec_module")
        if isinstance(node, ast.Call):
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            name = full_name(node.func)
            if name in REQUIRED and given.get(REQUIRED[name][0]) is not REQUIRED[name][1]:
                found.append(f"line {node.lineno}: {name} without {REQUIRED[name][0]}={REQUIRED[name][1]}")
            if given.get("shell", False) is not False:
                found.append(f"line {node.lineno}: {name} with a shell")
            if given.get("allow_pickle", False) is not False:
                found.append(f"line {node.lineno}: {name} with pickles")
    return found


def test_no_module_can_run_what_it_reads(project):
    modules = sorted((project / "workflow").rglob("*.py"))
    assert len(modules) > 100
    found = {module.name: dangers(module.read_text()) for module in modules if dangers(module.read_text())}
    # A kind's module by its name, and a file that the config names as one: nowhere else is code loaded by a name.
    loading = [danger.partition(": ")[2] for danger in found.pop("kinds.py")]
    assert loading == ["importlib.import_module", "exec_module"]
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(path)",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "from torch import load as read\nread(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch.serialization\ntorch.load(path)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.compose(text, Loader=yaml.Loader)",
        "eval(text)",
        "run = exec",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import os\nos.system(text)",
        "from os import popen\npopen(text)",
        "import pandas as pd\npd.read_pickle(path)",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module\nimport_module(name)",
        "spec.loader.exec_module(module)",
        "import runpy\nrunpy.run_path(path)",
    ],
)
def test_the_search_for_dangers_finds_them(code):
    assert dangers(code)
    assert not dangers("import numpy as np, torch\nnetwork.eval()\nnp.load(path, allow_pickle=False)\nload(path)")


@pytest.mark.parametrize(
    "kind",
    [
        "os",
        "__init__",
        "../../jobs/job",
        "../penalties/kl",
        "autoencoders.jobs.job",
        "kl.",
        "",
        "/tmp",
        "mine",
        "mvg\n",
    ],
)
@pytest.mark.parametrize("group", kinds.FOLDERS)
def test_a_kind_is_one_of_its_folder(group, kind):
    with pytest.raises(UserError, match=r"is no kind\..* Write (one of|the path of a Python file)"):
        kinds.load(group, kind)


@pytest.mark.parametrize("group", sorted(kinds.FOLDERS.keys() - set(kinds.FROM_ELSEWHERE)))
def test_a_source_or_extractor_is_no_file_from_elsewhere(tmp_path, marker, group):
    """A config names files of penalties, priors and measures alone, and those are run: it is its author's code."""
    (tmp_path / "mine.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    with pytest.raises(UserError, match="is no kind"):
        kinds.load(group, str(tmp_path / "mine.py"))
    assert not marker.exists()


def test_no_rule_has_a_shell_command_or_code_of_its_own(project):
    """What a name could get into: all work is in scripts, which get their names as Python values."""
    files = [project / "Snakefile", *(project / "workflow" / "rules").glob("*.smk")]
    assert len(files) > 8
    words = ("shell", "run", "wrapper", "notebook", "cwl", "container", "containerized", "envmodules")
    for file in files:
        lines = file.read_text().splitlines()
        assert not [line for line in lines if line.strip().split(":")[0] in words and ":" in line], file
        assert not [line for line in lines if "shell(" in line or "eval(" in line or "exec(" in line], file


# ---- names

HOSTILE = [
    *("../evil", "..", ".", "/tmp/evil", "a/b", "a\\b", "evil/../../x", "~", "~root"),
    *("x; touch pwned", "$(touch pwned)", "`touch pwned`", "x|y", "x&y", "x>y", "x y", "x\ty", "x'y", 'x"y', "*", "?"),
    *("x\n", "x\ny", "\nx", "x\r", "x\x00", "-rf", "--help", ".hidden", "_x", "", "{dataset}", "<results>", "%s"),
    # A fullwidth full stop and slash, a Roman numeral, a Greek omicron, a digit of another script, marks of direction.
    *("\uff0e\uff0e\uff0fevil", "\u217difar10", "cifar1\u03bf", "cifar1\u0660", "\u202egnp", "x\u200b", "x\u2028"),
    *("x" * 101, "x" * 5000),
]


def tiny_config() -> dict:
    return {
        "run": ["e"],
        "datasets": {"d": {"source": "sklearn", "sklearn": {"name": "digits"}, "latent": 4}},
        "models": {"m": {"penalties": {}}},
        "priors": {"p": {"kind": "mvg"}},
        "measures": {"frechet": {"kind": "frechet"}},
        "experiments": {"e": [{"dataset": "d", "model": "m", "filters": 2}]},
    }


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("kind", ["datasets", "models", "penalties", "priors", "measures", "experiments"])
def test_a_name_that_is_no_part_of_a_path_is_refused(kind, name):
    config = tiny_config()
    settings.resolve(config)
    entries = {**config, **config["models"]["m"]}[kind]
    entries[name] = next(iter(entries.values()), {"kind": "kl", "weight": 1})
    with pytest.raises(UserError, match=rf"{kind}: .* can't be used here\. Write letters, digits"):
        settings.resolve(config)


@pytest.mark.parametrize(
    "folder", ["..", "../x", "x/../../y", "x\n/../../y", "x\n", "x\x00", "~/x", "{dataset}", "<cell>", "", " ", "x "]
)
@pytest.mark.parametrize("key", ["results", "resources"])
def test_a_folder_that_leads_elsewhere_is_refused(key, folder):
    with pytest.raises(UserError, match=rf"pathvars\.{key}: .* can't be used here\. Write a folder without"):
        settings.resolve({**tiny_config(), "pathvars": {key: folder}})


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "hf://datasets/../..@main/x.parquet",
            "hf://datasets/a/..@main/x.parquet",
            "hf://datasets/./b@main/x.parquet",
        ),
        *("hf://datasets/a/b@../x.parquet", "hf://datasets/a/b@%2e%2e/x.parquet", "hf://datasets/a/b@./x.parquet"),
    ],
)
def test_files_on_the_hub_get_a_folder_below_the_downloads(tmp_path, uri):
    with pytest.raises(UserError, match="does not name files on the Hugging Face Hub"):
        hub_folder(uri, tmp_path)
    config = tiny_config()
    config["datasets"]["d"] = {"source": "parquet", "parquet": {"train": uri}, "latent": 4}
    resolved = settings.resolve(config)
    (fault,) = first_look.find_misfits(resolved["datasets"], resolved["pathvars"])
    assert fault.startswith(f"datasets.d: '{uri}' does not name files")


def test_a_revision_stays_one_folder(tmp_path):
    uri = "hf://datasets/a/b@..%2f..%2fx/x.parquet"
    assert parse_hub(uri).revision == "../../x"
    assert hub_folder(uri, tmp_path) == tmp_path / "a" / "b" / "..%2F..%2Fx"


@pytest.fixture(scope="module")
def checkout(project, tmp_path_factory) -> Path:
    folder = copy_project(project, tmp_path_factory.mktemp("checkout"))
    (folder / "one.yaml").write_text("run: [noise]\n")
    return folder


CONFIGS = ("config/demo.yaml", "tiny.yaml", "one.yaml")


def test_a_results_folder_with_a_shells_characters_is_a_folder(checkout):
    """A path of the user's own may hold anything; no shell is to read it."""
    name = "r e's\"; touch pwned; $(touch pwned) `touch pwned` | touch pwned & *?[a] -é %s #"
    (checkout / "one.yaml").write_text(f"run: [noise]\npathvars: {{ results: {json.dumps(name)} }}\n")
    before = {path.name for path in checkout.iterdir()} | {".snakemake"}
    snakemake(checkout, "all_models", configs=CONFIGS)
    assert {path.name for path in checkout.iterdir()} - before == {name}
    assert len(list((checkout / name).glob("cells/digits/dae/*/weights.safetensors"))) == 1
    assert not list(checkout.rglob("pwned"))


@pytest.mark.parametrize(
    "target",
    [
        "results/demo/cells/../../../evil/dae/f2-d1-z4-s0/weights.safetensors",
        "results/demo/cells/digits/dae/f2-d1-z4-s0/priors/../../../../../../evil.npz",
        "results/demo/cells/digits/dae/f2-d1-z4-s\u0660/weights.safetensors",
    ],
    ids=ascii,
)
def test_no_target_leads_out_of_the_results_folder(checkout, target):
    done = snakemake(checkout, "-n", target, configs=CONFIGS[:2], check=False)
    assert done.returncode == 1
    assert "No rule to produce" in done.stdout


@contextlib.contextmanager
def time_limit(seconds: int):
    """TimeoutError instead of a test that hangs."""

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def folder_split(folder: Path) -> Split:
    return folders.splits({"train": str(folder), "test": None}, "unused")["train"]


def test_links_in_a_folder_of_images_neither_hang_nor_repeat_images(tmp_path):
    """A link to a folder is followed where it stands for a class, and nowhere below."""
    images = tmp_path / "images"
    (images / "cats").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(images / "cats" / "a.png")
    (images / "cats" / "up").symlink_to("..")
    (images / "cats" / "self").symlink_to(".")
    (images / "cats" / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(images / "cats" / "pipe.png")
    (images / "dogs").symlink_to("cats")
    with time_limit(30):
        source = folder_split(images)
        assert (len(source), source.labels.tolist()) == (2, [0, 1])
        assert prepare_split(source, None, 32)[0].shape == (2, 3, 32, 32)
    (images / "cats" / "gone.png").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"gone\.png is a link to nowhere, which is not there"):
        folder_split(images)
    (images / "cats" / "gone.png").unlink()
    (images / "cats" / "secret.png").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"secret\.png cannot be read as an image"):
        prepare_split(folder_split(images), None, 32)


class Tags(html.parser.HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.scripts = set(), [], 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.attributes += attrs


SCRIPT = """**<script>alert(1)</script>** "><img src=x onerror='alert(1)'> </td></table><iframe src=//x> &lt;b&gt;"""


def test_no_text_becomes_a_tag_of_a_table_in_the_report():
    rows = pd.DataFrame({SCRIPT: [SCRIPT, "1.0"], "Model": ["DAE", SCRIPT]})
    page = Tags(to_html(SCRIPT, [Section(SCRIPT, SCRIPT, rows)]))
    known = {"html", "meta", "title", "style", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "b"}
    assert page.tags <= known | {"script"}
    # The page's own, which sorts its tables.
    assert page.scripts == 1
    assert {name for name, _ in page.attributes} <= {"lang", "charset", "class", "id", "type"}


def test_no_text_becomes_a_command_of_latex():
    attack = r"\input{/etc/passwd} \immediate\write18{touch pwned} ^^5cinput $x$ %"
    rows = pd.DataFrame({attack: [attack], "Model": [f"**{attack}**"]})
    text = to_latex("Title", [Section(attack, attack, rows)], name="table")
    commands = text.replace(r"\textbackslash{}", "")
    assert r"\input" not in commands and r"\immediate" not in commands and r"\write" not in commands
    # Where TeX reads ^^5c as a backslash, the first ^ has been made an accent.
    assert "^^" not in commands and r"\{/etc/passwd\}" in commands


# ---- archives


def member(name: str, kind: bytes = tarfile.REGTYPE, **attributes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


TRAPS = {
    "parent": [member("../evil")],
    "absolute": [member("/tmp/autoencoders-evil")],
    "symlink": [member("way", tarfile.SYMTYPE, linkname=".."), member("way/evil")],
    "hard link": [member("evil", tarfile.LNKTYPE, linkname="/etc/passwd")],
    "device": [member("evil", tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "pickle": [member("cifar-10-batches-py/data_batch_1")],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_no_other_archive_than_the_official_one_is_unpacked(tmp_path, monkeypatch, marker, trap):
    """Neither what lies there as CIFAR-10's archive, nor what a server sends instead of it, is even opened."""
    from torchvision.datasets import utils

    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    archive = folder / "cifar-10-python.tar.gz"
    data = pickle.dumps(Attack(marker))
    with tarfile.open(archive, "w:gz") as tar:
        for info in TRAPS[trap]:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    sent = archive.read_bytes()
    monkeypatch.setattr(torchvision.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda url, name, **_: Path(name).write_bytes(sent))
    with pytest.raises(UserError, match=r"CIFAR10 could not be downloaded .*corrupted"):
        torchvision.download({"name": "CIFAR10"}, folder)
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_dir()) == [archive]
    assert not Path("/tmp/autoencoders-evil").exists()
    assert not marker.exists()


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_pickle_in_place_of_a_batch_does_not_run(tmp_path, marker, file):
    """torchvision unpickles CIFAR's own files: after their checksums alone."""
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]:
        (folder / name).write_bytes(pickle.dumps(Attack(marker)))
    with pytest.raises(UserError, match=rf"CIFAR10 in {tmp_path} is incomplete or damaged"):
        torchvision.splits({"name": "CIFAR10"}, tmp_path)
    assert not marker.exists()


@pytest.fixture
def celeba(tmp_path, monkeypatch) -> Path:
    """The folder of CelebA, with its lists and four unpacked images, and with no archive."""
    import hashlib

    from torchvision import datasets

    base = tmp_path / "resources" / "celeba"
    (base / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 5)]
    for name in names:
        Image.new("RGB", (178, 218)).save(base / "img_align_celeba" / name)
    lists = {
        "list_eval_partition.txt": [f"{name} {split}" for name, split in zip(names, (0, 0, 2, 2), strict=True)],
        "identity_CelebA.txt": [f"{name} 7" for name in names],
        "list_bbox_celeba.txt": ["4", "image_id x", *(f"{name} 1" for name in names)],
        "list_landmarks_align_celeba.txt": ["4", "a", *(f"{name} 1" for name in names)],
        "list_attr_celeba.txt": ["4", "Smiling", *(f"{name} 1" for name in names)],
    }
    for name, lines in lists.items():
        (base / name).write_text("\n".join(lines) + "\n")
    official = [
        (key, hashlib.md5((base / name).read_bytes()).hexdigest() if name in lists else md5, name)
        for key, md5, name in datasets.CelebA.file_list
    ]
    monkeypatch.setattr(datasets.CelebA, "file_list", official)
    monkeypatch.setattr(torchvision.time, "sleep", lambda seconds: None)
    return base


CELEBA = {"name": "CelebA"}


def trapped_zip(path: Path) -> None:
    """Members that lead outside, and one that is a thousand times as large as here."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../evil", "/tmp/autoencoders-evil", "img_align_celeba/../../../evil"):
            archive.writestr(name, b"evil")
        link = zipfile.ZipInfo("img_align_celeba/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
        with archive.open("img_align_celeba/000001.jpg", "w", force_zip64=True) as bomb:
            for _ in range(64):
                bomb.write(bytes(1 << 20))


@pytest.mark.parametrize("unpacked", [True, False], ids=["half unpacked", "not unpacked"])
def test_another_archive_in_celebas_place_is_not_unpacked(celeba, tmp_path, monkeypatch, unpacked):
    import gdown

    trapped_zip(celeba / "img_align_celeba.zip")
    if not unpacked:
        shutil.rmtree(celeba / "img_align_celeba")
    sent = (celeba / "img_align_celeba.zip").read_bytes()
    monkeypatch.setattr(gdown, "download", lambda output, **_: Path(output).write_bytes(sent))
    before = sorted(tmp_path.rglob("*"))
    sizes = [path.stat().st_size for path in before]
    with pytest.raises(UserError, match="is not the official archive" if unpacked else "could not be downloaded"):
        torchvision.download(CELEBA, celeba.parent)
    assert sorted(tmp_path.rglob("*")) == before
    assert [path.stat().st_size for path in before] == sizes
    assert not Path("/tmp/autoencoders-evil").exists()


def test_celeba_without_its_archive_is_read(celeba):
    assert len(torchvision.download(CELEBA, celeba.parent)) == 5
    assert len(torchvision.splits(CELEBA, celeba.parent)["train"]) == 2


# ---- images


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = [header, *more, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


PLAIN = bytes((3 * 40 + 1) * 40)
# A program for Ghostscript, which Pillow starts for it.
PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"


def pictures(tmp_path: Path, source: str, data: bytes) -> Split:
    """A split with one picture, in a folder, in a parquet file, or as CelebA's."""
    if source == "parquet":
        pq.write_table(pa.table({"image": pa.array([data], pa.binary())}), tmp_path / "train.parquet")
        return parquet.splits({"train": str(tmp_path / "train.parquet"), "image": "image"}, tmp_path)["train"]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(data)
    return folder_split(tmp_path / "images")


@pytest.mark.parametrize("source", ["folder", "parquet"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(50_000, 50_000, bytes(100)), "could be decompression bomb"),
        (png(40, 40, PLAIN, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20)))), "too large"),
    ],
    ids=["pixels", "text"],
)
def test_a_decompression_bomb_ends_in_a_message(tmp_path, source, data, reason):
    assert len(data) < 1 << 20
    where = "train.parquet, row 0" if source == "parquet" else "a.png"
    with pytest.raises(UserError, match=rf"{where} cannot be read as an image: .*{reason}.*Replace or remove it"):
        prepare_split(pictures(tmp_path, source, data), None, 32)


@pytest.fixture
def ghostscript(tmp_path, monkeypatch, marker) -> None:
    """A Ghostscript that leaves the marker."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\nmkdir -p {marker}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    from PIL import EpsImagePlugin

    # Pillow looks for it once a process.
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)


@pytest.mark.parametrize("source", ["folder", "parquet", "celeba"])
def test_no_picture_starts_a_program(request, tmp_path, marker, ghostscript, source):
    if source == "celeba":
        celeba = request.getfixturevalue("celeba")
        (celeba / "img_align_celeba" / "000001.jpg").write_bytes(PROGRAM)
        opened = torchvision.splits(CELEBA, celeba.parent)["train"]
    else:
        opened = pictures(tmp_path, source, PROGRAM)
    with pytest.raises(UserError, match="cannot be read as an image"):
        prepare_split(opened, None, 32)
    assert not marker.exists()
    # Opened without care, it starts one.
    with contextlib.suppress(Exception):
        Image.open(io.BytesIO(PROGRAM)).load()
    assert marker.exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "PPM", "TIFF"])
def test_pictures_of_all_named_formats_are_read(tmp_path, kind):
    """What the documentation names; and photographs of telephones, which are JPEGs that hold two (MPO)."""
    image = Image.new("RGB", (40, 40), (200, 100, 50))
    more = {"save_all": True, "append_images": [image]} if kind == "MPO" else {}
    data = dumped(lambda file: image.save(file, kind, **more))
    (array,), _ = prepare_split(pictures(tmp_path, "folder", data), None, 32)
    assert np.abs(array[:, 16, 16] - np.array([200.0, 100, 50])).max() < 8

"""The code version of a result, and the page about code, machines, packages and config."""

import shutil
import subprocess

import pandas as pd
import pytest

from autoencoders.evidence.provenance_page import provenance_sections
from autoencoders.evidence.table_files import NO_VALUE
from autoencoders.jobs import provenance


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the module that takes itself for the original, in a folder without a repository."""
    file = tmp_path / "code" / "provenance.py"
    file.parent.mkdir()
    shutil.copyfile(provenance.__file__, file)
    monkeypatch.setattr(provenance, "__file__", str(file))
    # Ignore a repository above the folder for temporary files.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return file


def git(folder, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkouts_commit_and_whether_files_have_changed(copy):
    git(copy.parent, "init", "--quiet")
    git(copy.parent, "add", ".")
    git(copy.parent, "commit", "--quiet", "--message", "code")
    commit = git(copy.parent, "rev-parse", "--short=12", "HEAD")
    assert provenance.code_version() == commit
    copy.write_text("# changed", encoding="utf-8")
    assert provenance.code_version() == f"{commit}-dirty"


def test_without_a_commit_of_this_code_or_without_git_the_version_is_unknown(copy, tmp_path, monkeypatch):
    assert provenance.code_version() == "unknown"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "another project")
    assert provenance.code_version() == "unknown"
    monkeypatch.setenv("PATH", "")
    assert provenance.code_version() == "unknown"


def test_versions_are_those_installed():
    versions = provenance.package_versions()
    assert versions["pandas"] == pd.__version__ and "python" in versions


CONFIG = {"training": {"epochs": 2, "rates": [{"epoch": 0}, {"epoch": 1}]}, "run": ["width"], "gpus": {}, "a": "b"}
RECORD = {"code": "0123456789ab-dirty", "versions": {"python": "3.12.1", "pandas": "3.1.1"}, "config": CONFIG}


def trained(device: str, code: str, torch: str) -> dict:
    return {"trained_on": device.split("; "), "code": code, "versions": {"python": "3.12.1", "torch": torch}}


def rows(sections) -> dict[str, list]:
    return {section.heading: section.rows.to_numpy().tolist() for section in sections}


def test_the_page_lists_devices_packages_and_every_setting():
    cells = [trained("H200", "a", "2.14.1"), trained("CPU; H200", "a", "2.14.0"), trained("H200", "a", "2.14.1")]
    sections = list(provenance_sections(RECORD, cells))
    assert RECORD["code"] in sections[0].text
    # A record of version 0.9 has no files of one's own.
    assert rows(sections) == {
        "Code and machines": [["2", "H200", "a"], ["1", "CPU, then H200", "a"]],
        "Packages": [
            ["pandas", "3.1.1", NO_VALUE],
            ["python", "3.12.1", "3.12.1"],
            ["torch", NO_VALUE, "2.14.0, 2.14.1"],
        ],
        "Config": [
            ["training.epochs", "2"],
            ["training.rates[0].epoch", "0"],
            ["training.rates[1].epoch", "1"],
            ["run", '["width"]'],
            ["gpus", "{}"],
            ["a", "b"],
        ],
    }


def test_the_page_lists_files_of_the_users_own():
    own = {"kinds/halves.py": "0a1b", "kinds/kid.py": "2c3d"}
    assert rows(provenance_sections(RECORD | {"own_kinds": own}, []))["Files of your own"] == [*map(list, own.items())]
    assert "Files of your own" not in rows(provenance_sections(RECORD | {"own_kinds": {}}, []))

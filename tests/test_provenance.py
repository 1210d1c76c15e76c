"""Which code made a result: its commit, and none of anybody else's."""

import shutil
import subprocess

import pytest

from autoencoders.jobs import provenance


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the module in a folder of its own, as which it takes itself."""
    file = tmp_path / "code" / "provenance.py"
    file.parent.mkdir()
    shutil.copyfile(provenance.__file__, file)
    monkeypatch.setattr(provenance, "__file__", str(file))
    # No repository above the folder for temporary files counts.
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
    copy.write_text("# changed")
    assert provenance.code_version() == f"{commit}-dirty"


def test_a_copy_in_another_projects_repository_has_no_commit(copy, tmp_path):
    assert provenance.code_version() == "unknown"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "a thesis")
    assert provenance.code_version() == "unknown"


def test_without_git_the_version_is_unknown(copy, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.code_version() == "unknown"

# SPDX-License-Identifier: GPL-2.0-only
"""The source archive is whole: its tests pass where it was unpacked, without git, and once more.

A first run leaves things behind (compiled code, examples of hypothesis) that a second one must not
take for a part of the project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def unpacked(tmp_path: Path) -> Path:
    """The archive, built and unpacked."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    return folder


def python(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Python in the unpacked archive; what is installed beside it is not what is imported."""
    env = {
        **{name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")},
        "PYTHONPATH": str(folder),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    command = [sys.executable, *argv]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


TRIED = """
import sys
import mmsim, mmsim.stress.cli
print(mmsim.__file__)
code = mmsim.stress.cli.main(["--list", "--profile", "smoke"])
import pytest
sys.exit(code or pytest.main(["-p", "no:cacheprovider", "tests/repo/test_layers.py"]))
"""


def test_the_archive_has_the_package_and_what_its_tests_read(tmp_path: Path) -> None:
    """In one process: nothing is compiled there, and each would compile mmsim anew."""
    folder = unpacked(tmp_path)
    done = python(folder, "-c", TRIED)
    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    assert Path(done.stdout.splitlines()[0]) == folder / "mmsim" / "__init__.py"
    assert "passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_its_tests_pass_twice_without_git(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    for _ in range(2):
        done = python(folder, "-m", "pytest", "-n", "2", "--dist", "worksteal")
        assert done.returncode == 0, done.stdout[-8000:]

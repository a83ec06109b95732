# SPDX-License-Identifier: Apache-2.0
"""Packages of PyPI, each file checked against its SHA-256: <name>.txt beside this says which, in a folder of their own,
once per build folder."""
import os
import subprocess
import sys

import pytest

from conftest import BUILD

HERE = os.path.dirname(os.path.abspath(__file__))


def program(name, what):
    """The path of a program in the folder of <name>.txt. Skips the test where PyPI is not reachable."""
    venv = os.path.join(BUILD, "interop", name)
    pins, done = os.path.join(HERE, name + ".txt"), os.path.join(venv, "pins")
    wanted = open(pins).read()
    if not os.path.exists(done) or open(done).read() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [os.path.join(venv, "bin", "pip"), "install", "-q", "--disable-pip-version-check", "--retries", "1"]
        got = subprocess.run(pip + ["--only-binary=:all:", "--require-hashes", "-r", pins], capture_output=True, text=True)
        if got.returncode != 0 and "Could not find a version" in got.stderr and "NewConnectionError" in got.stderr:
            pytest.skip("PyPI is not to be had")
        assert got.returncode == 0, got.stderr
        with open(done, "w") as out:
            out.write(wanted)
    return os.path.join(venv, "bin", what)

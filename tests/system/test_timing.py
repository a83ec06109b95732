# SPDX-License-Identifier: Apache-2.0
"""How secrets are compared. What time tells is measured by `make timing`, on a
quiet machine; here is the rule that keeps the code to it."""
import os
import subprocess

import pytest

from conftest import ROOT

LINT = os.path.join(ROOT, "scripts", "lint-secrets.sh")
FOLDERS = ["bin", "broker", "engine", "actors", "planes", "policy", "rot", "sinks", "include"]


def lint(*where):
    return subprocess.run([LINT, *where], cwd=ROOT, capture_output=True, text=True)


def test_no_secret_is_compared_in_variable_time():
    done = lint(*FOLDERS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line,bad", [
    ("memcmp(ag_secret_bytes(s), given, 32)", True), ("strcmp(a, secret) == 0", True),
    ("memcmp(mac, want, 32)", True), ("strncmp(ask->passphrase, text, n)", True),
    ("ag_secret_equal(mac, want, 32)", False), ("CRYPTO_memcmp(secret, given, 6)", False),
    ("strcmp(secrets[i].purpose, purpose) == 0", False), ("memcmp(digest, other, 32)", False),
])
def test_the_rule_finds_what_it_should(tmp_path, line, bad):
    (tmp_path / "x.c").write_text("int f(void) { return %s; }\n" % line)
    assert (lint(str(tmp_path)).returncode != 0) == bad

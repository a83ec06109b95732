# SPDX-License-Identifier: Apache-2.0
"""The Cedar engine against the reference, on random sets: what is parsed, its JSON form, validation, decisions with
their reasons and errors, and what is refused (tests/unit/policy/cedar/differential.js)."""
import os
import re
import subprocess

import pytest

import npm
from conftest import BUILD, ROOT
from test_mcp_conformance import node  # noqa: F401

CEDAR = os.path.join("tests", "unit", "policy", "cedar")
CASES, SEEDS = 1000, (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_decides_as_the_reference(node, seed):  # noqa: F811
    done = subprocess.run(
        [node, os.path.join(ROOT, CEDAR, "differential.js"), os.path.join(BUILD, CEDAR, "cedar_oracle"), str(CASES),
         str(seed)], env=dict(os.environ, NODE_PATH=os.path.join(npm.FOLDER, "node_modules")), capture_output=True,
        text=True, timeout=300)
    print("seed %d:\n%s%s" % (seed, done.stdout, done.stderr))
    assert done.returncode == 0
    figures = dict(re.findall(r"^(.+): (\d+) compared$", done.stdout, re.M))
    assert int(figures["decision, reasons and errors"]) == CASES * 3 // 4 * 8 and len(figures) == 7

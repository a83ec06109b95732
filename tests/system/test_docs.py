# SPDX-License-Identifier: Apache-2.0
"""Every command in README and docs is executed.

A fenced block ```sh run``` is a script: the blocks of one page run in order, in
one shell and one empty folder, against a fresh fleet (AEGIS_STATE is set, the
first admin is logged in, the tree's root is $AEGIS_ROOT). ```sh make``` blocks
(make demo, make test …) are checked to name targets that exist; other tests run
what they do. A ```sh``` block without a word is an error: somebody forgot.
"""
import glob
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, Fleet

PAGES = sorted(p for p in [os.path.join(ROOT, n) for n in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] +
               glob.glob(os.path.join(ROOT, "docs", "*.md")) if os.path.exists(p))
FENCE = re.compile(r"^```sh([^\n]*)\n(.*?)^```", re.M | re.S)


def blocks(page, kind):
    return [body for word, body in FENCE.findall(open(page).read()) if word.strip() == kind]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: os.path.basename(str(p)))
def test_blocks_say_how_they_are_tested(page):
    for word, body in FENCE.findall(open(page).read()):
        assert word.strip() in ("run", "make"), "%s: a block without `run` or `make`:\n%s" % (page, body)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: os.path.basename(str(p)))
def test_make_targets_exist(page):
    makefile = open(os.path.join(ROOT, "Makefile")).read()
    for body in blocks(page, "make"):
        for target in re.findall(r"^make ([a-z]+)", body, re.M):
            assert re.search(r"^%s:" % target, makefile, re.M), target


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "run")], ids=lambda p: os.path.basename(str(p)))
def test_commands_run(page, tmp_path):
    fleet = Fleet()
    try:
        fleet.start()
        script = "set -euo pipefail\n" + "\n".join(blocks(page, "run"))
        env = dict(os.environ, AEGIS_STATE=fleet.state, AEGIS_ROOT=ROOT, NO_COLOR="1",
                   XDG_CONFIG_HOME=str(tmp_path / "home"), PATH=os.path.abspath(BUILD) + ":" + os.environ["PATH"])
        done = subprocess.run(["bash", "-c", script], cwd=str(tmp_path), env=env, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 0, "%s\n%s\n%s" % (script, done.stdout, done.stderr)
    finally:
        fleet.leave()


def test_reference_is_what_the_program_prints(fleet):
    page = os.path.join(ROOT, "docs", "reference.md")
    assert open(page).read() == fleet.run("doc", check=0).stdout, "stale: build/aegis doc > docs/reference.md"


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", open(page).read()):
            if "://" not in target:
                assert os.path.exists(os.path.join(os.path.dirname(page), target)), "%s: %s" % (page, target)

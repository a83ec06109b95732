# SPDX-License-Identifier: Apache-2.0
"""Every command in README and docs is executed.

A fenced block ```sh run``` is a script: the blocks of one page run in order, in
one shell and one empty folder, against a fresh fleet (AEGIS_STATE is set, the
first admin is logged in, the tree's root is $AEGIS_ROOT). ```sh make``` blocks
(make demo, make test …) are checked to name targets that exist; other tests run
what they do. ```sh fault``` blocks belong to the runbook, which test_game_day.py
plays. A ```sh``` block without a word is an error: somebody forgot.
"""
import glob
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, Fleet
from mcp_client import CONFIG_MCP

PAGES = sorted(p for p in [os.path.join(ROOT, n) for n in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] +
               glob.glob(os.path.join(ROOT, "docs", "*.md")) if os.path.exists(p))
FENCE = re.compile(r"^```sh([^\n]*)\n(.*?)^```", re.M | re.S)


def blocks(page, kind):
    return [body for word, body in FENCE.findall(open(page).read()) if word.strip() == kind]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: os.path.basename(str(p)))
def test_blocks_say_how_they_are_tested(page):
    for word, body in FENCE.findall(open(page).read()):
        assert word.strip() in ("run", "make", "fault"), "%s: a block without `run`, `make` or `fault`:\n%s" % (page, body)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: os.path.basename(str(p)))
def test_make_targets_exist(page):
    makefile = open(os.path.join(ROOT, "Makefile")).read()
    for body in blocks(page, "make"):
        for target in re.findall(r"^make ([a-z-]+)", body, re.M):
            assert re.search(r"^%s:" % target, makefile, re.M), target


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "run")], ids=lambda p: os.path.basename(str(p)))
def test_commands_run(page, tmp_path):
    fleet = Fleet(config=CONFIG_MCP if os.path.basename(page) == "mcp.md" else None)
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


def sources(*endings):
    return [p for folder in ("actors", "bin", "broker", "engine", "include", "planes", "policy", "rot", "sinks", "tests")
            for p in glob.glob(os.path.join(ROOT, folder, "**"), recursive=True) if p.endswith(endings)]


def test_tests_that_are_named_exist():
    files = dict((os.path.basename(p), p) for p in sources("_test.c", ".py"))
    rows = re.findall(r"^\| ([A-Z]+\d+) \| (.*) \|$", open(os.path.join(ROOT, "docs", "tests.md")).read(), re.M)
    assert len(rows) == len(set(row for row, _ in rows)) > 60
    for row, names in rows:
        assert names, row
        for name in re.findall(r"`([^`]+)`", names):
            file, _, test = name.partition("::")
            assert file in files, (row, name)
            text = open(files[file]).read()
            if file.endswith(".py"):
                assert re.search(r"^def %s\(" % re.escape(test or "test_"), text, re.M) or not test, (row, name)
            else:  # defined, and registered
                assert len(re.findall(r"\b%s\b" % re.escape(test), text)) >= 2, (row, name)


def test_the_walk_names_what_is_there():
    """Files and functions of walk.md exist, the functions in the files of their section."""
    code = dict((os.path.relpath(p, ROOT), open(p).read()) for p in sources(".c", ".h"))
    page = open(os.path.join(ROOT, "docs", "walk.md")).read()
    page = FENCE.sub("", page)
    words = re.findall(r"`([^`\n]+)`", page)
    assert len(words) > 40
    for word in words:
        if re.fullmatch(r"[a-z0-9_/]+\.(c|h|def)", word):
            found = [p for p in code if p == word or p.endswith("/" + word)]
            assert found or glob.glob(os.path.join(ROOT, "**", word), recursive=True), word
        elif re.fullmatch(r"[a-z0-9_]+\(\)", word):
            definition = re.compile(r"^%s\(" % word[:-2], re.M)
            assert any(definition.search(text) for text in code.values()), word
        elif word.endswith("/"):
            assert os.path.isdir(os.path.join(ROOT, word)), word


def test_the_listing_is_the_fleet(fleet):
    """What architecture.md shows of `aegis status` has the rows that there are."""
    def rows(text):
        return [line.split()[:2] for line in text.splitlines() if re.match(r"^ *[a-z.0-9]+ +[a-z]+ +\d+ ", line)]
    page = open(os.path.join(ROOT, "docs", "architecture.md")).read()
    assert re.search(r"^    NAME +ROLE +PID +STATE +UPTIME +RESTARTS +QUEUE +RSS$", page, re.M)
    shown = rows(page)
    said = rows(fleet.run("status", check=0).stdout)
    # The tests' own sink is not of the default fleet.
    assert shown == [row for row in said if not row[0].startswith("file")] and len(shown) > 10

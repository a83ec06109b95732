# SPDX-License-Identifier: Apache-2.0
"""The official suite of the Model Context Protocol against the MCP plane, each revision's own requirements."""
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

import conftest
import npm
from conftest import BUILD, ROOT, Fleet
from mcp_client import CONFIG_MCP, NOW, THEN
from relay import Relay

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = ("@modelcontextprotocol/conformance", "dist/index.js")
# Of an extension that the plane does not announce; the suite does not score it.
EXTENSION = "tasks-"


@pytest.fixture(scope="module")
def node():
    try:
        npm.fetch()
    except OSError as error:
        pytest.skip("npm's registry is not to be had: %s" % error)
    return npm.NODE


@pytest.fixture(scope="module")
def fleet():
    made = Fleet(config=CONFIG_MCP)
    try:
        yield made.start()
    finally:
        made.leave()


def relay_to(fleet):
    at = urllib.parse.urlsplit(fleet.endpoints["mcp"])
    return Relay((at.hostname, at.port), fleet.token())


@pytest.fixture(scope="module")
def relay(fleet):
    made = relay_to(fleet)
    yield made
    made.leave()


@pytest.fixture(scope="module")
def relay_to_fixtures(tmp_path_factory):
    """The same fleet, but for its plane, which a build with -Dmcp_fixtures=true made."""
    build = os.path.join(BUILD, "interop", "mcp")
    if not os.path.exists(os.path.join(build, "build.ninja")):
        subprocess.run(["meson", "setup", build, ROOT, "--buildtype=debugoptimized", "-Dmcp_fixtures=true"], check=True,
                       capture_output=True)
    subprocess.run(["ninja", "-C", build, "--quiet", "aegis-mcp"], check=True, capture_output=True)
    programs = tmp_path_factory.mktemp("fixtures")
    for name in os.listdir(BUILD):
        path = os.path.join(BUILD, name)
        if re.fullmatch("aegis(-[a-z0-9]+)?", name) and os.path.isfile(path):
            shutil.copy2(path, programs)
    shutil.copy2(os.path.join(build, "aegis-mcp"), programs)
    os.mkdir(programs / "engine")
    for name in os.listdir(os.path.join(BUILD, "engine")):
        path = os.path.join(BUILD, "engine", name)
        if name.startswith("libaegis-actor.so") and os.path.isfile(path):
            shutil.copy2(path, programs / "engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "AEGIS", str(programs / "aegis"))
        fleet = Fleet(config=CONFIG_MCP)
        try:
            made = relay_to(fleet.start())
            yield made
            made.leave()
        finally:
            fleet.leave()


def wanted(node, revision):
    """The names of the revision's scenarios for servers, as the suite lists them."""
    said = subprocess.run([node, npm.script(*SUITE), "list", "--server", "--requirements", revision], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    mine = re.split(r"^(?=\S)", said[said.index("Server scenarios"):], maxsplit=2, flags=re.M)[1]
    names = [line.split()[1] for line in mine.splitlines() if line.startswith("  - ")]
    assert len(names) > 20, said
    return names


def run(node, url, revision, folder):
    """The scenarios that ran, and (scenario, check) → status."""
    subprocess.run([node, npm.script(*SUITE), "server", "--url", url, "--requirements", revision, "-o", str(folder)],
                   capture_output=True, timeout=300)
    ran, found = set(), {}
    for name in os.listdir(folder):
        scenario = re.match(r"server-(.*)-\d{4}-\d\d-\d\dT", name).group(1)
        ran.add(scenario)
        with open(os.path.join(folder, name, "checks.json")) as checks:
            for check in json.load(checks):
                place = (scenario, check["id"])
                if found.get(place) != "FAILURE":
                    found[place] = check["status"]
    return ran, found


def judge(node, relay, revision, folder):
    """(failed, warned, passed), of all scenarios but the extension's."""
    ran, found = run(node, relay.url, revision, folder)
    assert set(wanted(node, revision)) <= ran
    return [{place for place, status in found.items() if status == which and not place[0].startswith(EXTENSION)}
            for which in ("FAILURE", "WARNING", "SUCCESS")]


def fixtures(revision):
    """What a release build cannot show: the suite wants its own tools, prompts and resources."""
    rows = [line.split() for line in open(os.path.join(HERE, "mcp.fixtures")) if not line.startswith("#")]
    return {(scenario, check) for which, scenario, check in rows if which == revision}


@pytest.mark.parametrize("revision", [THEN, NOW])
def test_the_release_build(node, relay, revision, tmp_path):
    failed, _, passed = judge(node, relay, revision, tmp_path)
    print("%s: %d checks passed, %d want a fixture" % (revision, len(passed), len(failed)))
    assert failed == fixtures(revision), sorted(failed ^ fixtures(revision))
    assert len(passed) > 20


@pytest.mark.parametrize("revision", [THEN, NOW])
def test_with_what_the_suite_wants(node, relay_to_fixtures, revision, tmp_path):
    failed, warned, passed = judge(node, relay_to_fixtures, revision, tmp_path)
    print("%s: %d checks passed, %d failed" % (revision, len(passed), len(failed)))
    assert not failed and not warned, (failed, warned)
    assert len(passed) > 60

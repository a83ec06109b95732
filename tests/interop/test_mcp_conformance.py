# SPDX-License-Identifier: Apache-2.0
"""The official suite of the Model Context Protocol against the MCP plane, each revision's own requirements."""
import json
import os
import re
import subprocess
import urllib.parse

import pytest

import npm
from conftest import Fleet
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


@pytest.fixture(scope="module")
def relay(fleet):
    at = urllib.parse.urlsplit(fleet.endpoints["mcp"])
    made = Relay((at.hostname, at.port), fleet.token())
    yield made
    made.leave()


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


def fixtures(revision):
    """What a release build cannot show: the suite wants its own tools, prompts and resources."""
    rows = [line.split() for line in open(os.path.join(HERE, "mcp.fixtures")) if not line.startswith("#")]
    return {(scenario, check) for which, scenario, check in rows if which == revision}


@pytest.mark.parametrize("revision", [THEN, NOW])
def test_the_release_build(node, relay, revision, tmp_path):
    ran, found = run(node, relay.url, revision, tmp_path)
    assert set(wanted(node, revision)) <= ran
    judged = {place: status for place, status in found.items() if not place[0].startswith(EXTENSION)}
    failed = {place for place, status in judged.items() if status == "FAILURE"}
    passed = {place for place, status in judged.items() if status == "SUCCESS"}
    print("%s: %d checks passed, %d want a fixture" % (revision, len(passed), len(failed)))
    assert failed == fixtures(revision), sorted(failed ^ fixtures(revision))
    assert len(passed) > 20

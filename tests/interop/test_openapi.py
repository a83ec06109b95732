# SPDX-License-Identifier: Apache-2.0
"""schemathesis against a fleet: whatever it makes of /openapi.json, an admin is answered as the document says: no
server error, no status, content type or body that is not in it."""
import json
import os
import subprocess
import sys

import pytest

import pypi
from conftest import fresh_fleet  # noqa: F401

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance")
BUDGET_S, EXAMPLES = 90, 10
KEYS, SPECS = 5, ("EC_P256", "ED25519", "AES_256", "HMAC_SHA256")


@pytest.fixture(scope="module")
def program():
    return pypi.program("schemathesis", "schemathesis")


def named(admin):
    """Path parameter → what there is, so that not everything is a 404."""
    keys = ["%s-%d" % (spec.lower().replace("_", "-"), i) for spec in SPECS for i in range(KEYS)]
    for i, alias in enumerate(keys):
        admin.ok("POST", "/v1/keys", {"key_spec": SPECS[i // KEYS], "alias": alias, "activate": i % KEYS > 0})
    person = admin.ok("POST", "/v1/principals", {"kind": "service", "name": "someone", "roles": ["auditor"]})
    rows = {name: [row["name"] for row in admin.ok("GET", "/v1/%ss" % name)["items"]] for name in ("sink", "role")}
    agent = admin.ok("POST", "/v1/agents/issue", {"label": "bot", "scopes": ["key:ec-p256-1:sign"]})
    return {"key": keys, "principal": [person["id"], "someone"],
            "agent": [agent["agent_id"]], "jti": [agent["jti"]], "tenant": ["other"], **rows}


def configured(file, words):
    """The configuration that gives path parameters a name there is, four times of five."""
    lines = []
    for name, values in words.items():
        lines += ["[dictionaries.%s]" % name, "values = %s" % json.dumps(values)]
    lines.append("[parameters]")
    lines += ['"path.%s" = { dictionary = "%s", probability = 0.8 }' % (name, name) for name in words]
    file.write_text("\n".join(lines) + "\n")


def streams(spec):
    """Operations whose answer does not end: label → id."""
    return {"%s %s" % (method.upper(), path): op["operationId"] for path, methods in spec["paths"].items()
            for method, op in methods.items()
            if "text/event-stream" in op["responses"].get("200", {}).get("content", {})}


def answered(told):
    """Operation → statuses, of a report."""
    found = {}
    for line in open(told):
        (kind, event), = json.loads(line).items()
        if kind != "ScenarioFinished":
            continue
        statuses = found.setdefault(event["recorder"]["label"], set())
        for made in event["recorder"].get("interactions", {}).values():
            if made["response"] is not None:
                statuses.add(made["response"]["status_code"])
    return found


def test_answers_as_the_document_says(program, fresh_fleet, tmp_path):
    fleet = fresh_fleet()
    admin = fleet.admin()
    words = named(admin)
    spec = admin.ok("GET", "/openapi.json")
    configured(tmp_path / "schemathesis.toml", words)
    told = tmp_path / "told.ndjson"
    command = [program, "--config-file", str(tmp_path / "schemathesis.toml"), "run", fleet.url + "/openapi.json",
               "--header", "Authorization: Bearer " + fleet.token(), "--checks", ",".join(CHECKS),
               "--phases", "examples,coverage,fuzzing", "--max-time", str(BUDGET_S), "--max-examples", str(EXAMPLES),
               "--seed", "1", "--no-shrink", "--continue-on-failure", "--request-timeout", "20", "--warnings", "off",
               "--generation-database", "none", "--no-color", "--report", "ndjson", "--report-ndjson-path", str(told)]
    for name in streams(spec).values():
        command += ["--exclude-operation-id", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=BUDGET_S + 120)
    print(done.stdout[-6000:] + done.stderr[-2000:])
    assert done.returncode == 0
    found = answered(told)
    good = [name for name, statuses in found.items() if statuses & {200, 201}]
    print("%d operations asked, %d of them did what was asked" % (len(found), len(good)))
    # A fleet that refuses everything conforms, too: that is not what is asked here.
    every = {"%s %s" % (method.upper(), path) for path, methods in spec["paths"].items() for method in methods}
    # It does not ask for the document that it has read.
    assert set(found) == every - set(streams(spec)) - {"GET /openapi.json"}
    assert len(good) * 2 > len(found)

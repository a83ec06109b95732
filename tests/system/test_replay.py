# SPDX-License-Identifier: Apache-2.0
"""Recorded decisions are made again from what was recorded, and come to the same, bit for bit."""
import json
import os
import shutil

import pytest

from conftest import b64


def replay(fleet, *words):
    done = fleet.run("audit", "replay", "--json", *words)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def story(fleet, admin, unique):
    """An agent that does what it may, and one thing that it may not; people with and without the right."""
    alias = unique("key")
    fleet.key(admin, alias, labels={"team": "red"})
    other = fleet.key(admin, unique("other"))["alias"]
    person = fleet.person(unique("carol"), roles=["key-user", "agent-issuer"])
    agent = fleet.agent(person, ["key:%s:sign" % alias, "key:label=team=red:public-key"], label=unique("batch"))
    ends = [agent.post("/v1/keys/%s/sign" % alias, {"message_b64": b64(b"x")}),
            agent.get("/v1/keys/%s/public-key" % alias),
            person.post("/v1/keys/%s/sign" % alias, {"message_b64": b64(b"x")}),
            person.get("/v1/principals"),
            person.get("/v1/keys/never-there"),
            agent.post("/v1/keys/%s/sign" % other, {"message_b64": b64(b"x")})]
    assert [e.status for e in ends] == [200, 200, 200, 403, 404, 403]
    return agent, [("evt_" + e.headers["x-request-id"].replace("-", "")) for e in ends]


def test_every_decision_comes_to_the_same(fleet, admin, story):
    agent, ids = story
    assert fleet.event_of(admin, admin.get("/v1/whoami"))
    status, lines = replay(fleet)
    assert status == 0
    by_id = {line["event_id"]: line for line in lines}
    for event_id in ids:
        assert by_id[event_id]["scope"] == "equal", by_id[event_id]
    # Refused for scope: risk was never asked.
    assert [by_id[i]["risk"] for i in ids] == ["equal", "equal", "equal", "not asked", "not asked", "not asked"]
    assert not [line for line in lines if "different" in (line["scope"], line["risk"])]
    assert not [line for line in lines if "not recorded" in (line["scope"], line["risk"])]
    # One agent's; one event's; in words.
    status, lines = replay(fleet, "--agent", agent.id)
    assert status == 0 and {line["event_id"] for line in lines} == {ids[0], ids[1], ids[5]}
    done = fleet.run("audit", "replay", ids[5], check=0)
    assert "denied scope_missing: scope equal, risk not asked" in done.stdout
    assert "replay: 1 events, 1 equal, 0 different" in done.stdout
    assert fleet.run("audit", "replay", "evt_00000000000070008000000000000000").returncode == 4
    assert fleet.run("audit", "replay", "nonsense").returncode == 2


def test_readers_do_not_see_the_inputs(fleet, admin, story):
    event = admin.ok("GET", "/v1/audit/" + story[1][0])
    assert "reach" not in event
    assert set(event["risk"]) == {"score", "factors", "decision", "degraded", "model_version"}
    assert all(set(e["risk"]) == set(event["risk"]) for e in fleet.all_events() if e["risk"])


@pytest.mark.parametrize("which, old, new", [(1, b"team=red:public-key", b"team=rad:public-key"),
                                             (5, b"scope_missing", b"scope_mussing")])
def test_what_was_changed_comes_out_different(fleet, admin, story, tmp_path, which, old, new):
    """The scope that allowed, or the reason that was given, is another: the decision does not follow from it."""
    event_id = story[1][which]
    copy = tmp_path / "audit"
    shutil.copytree(os.path.join(fleet.state, "audit"), copy)
    name = sorted(copy.glob("*.seg"))[-1]
    data = name.read_bytes()
    where = data.index(old, data.index(event_id.encode()))
    name.write_bytes(data[:where] + new + data[where + len(new):])
    done = fleet.run("audit", "replay", event_id, "--dir", str(copy))
    assert done.returncode == 1, done.stdout
    assert "scope different" in done.stdout

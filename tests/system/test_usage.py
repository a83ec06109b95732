# SPDX-License-Identifier: Apache-2.0
"""What agents did, by hour and operation: the counters are what the audit log says, whatever dies, and a budget
that is exceeded does what the rules say."""
import collections
import http.client
import json
import os
import signal
import threading

import pytest

from conftest import HIGH, b64, wait_for

QUIET = {"rate_spike": {"enabled": False}}
SIGN = {"message_b64": b64(b"hello")}
OUTCOMES = ("allowed", "denied", "failed", "unknown")


def sign(client, key):
    return client.post("/v1/keys/%s/sign" % key, SIGN)


def of_the_log(events, agent_id):
    """(hour, operation) → what the agent's usage must say."""
    rows = collections.defaultdict(lambda: dict.fromkeys(OUTCOMES + ("late", "items"), 0))
    for event in events:
        if (event["actor"] or {}).get("id") != agent_id or event["event_type"] not in ("request", "outcome_late"):
            continue
        row = rows[event["occurred_at"][:13] + ":00:00.000Z", event["operation"]]
        row[event["outcome"] if event["event_type"] == "request" else "late"] += 1
        if event["outcome"] == "allowed":
            row["items"] += 1 if event["items"] is None else event["items"]
    return dict(rows)


def said(client, agent_id, query="limit=2"):
    rows = client.items("/v1/agents/%s/usage?%s" % (agent_id, query))
    return dict(((r["hour_at"], r["operation"]), dict((k, v) for k, v in r.items() if k not in ("hour_at", "operation")))
                for r in rows)


class Work(threading.Thread):
    """One agent, at it until it is told to stop."""

    def __init__(self, fleet, agent, key):
        super().__init__()
        self.fleet, self.agent, self.key, self.good, self.stopping = fleet, agent, key, 0, threading.Event()

    def run(self):
        client, i = self.agent, 0
        batch = {"operation": "sign", "items": [SIGN] * 7}
        while not self.stopping.is_set():
            i += 1
            try:
                if i % 5 == 0:
                    answer = client.post("/v1/keys/%s/batch" % self.key, batch)
                elif i % 5 == 1:
                    answer = client.get("/v1/principals")  # refused
                else:
                    answer = sign(client, self.key)
                self.good += answer.status == 200
                if answer.status not in (200, 403):
                    self.stopping.wait(0.02)
            except (OSError, http.client.HTTPException):
                self.stopping.wait(0.02)
                try:
                    client = self.fleet.client(self.agent.token, timeout_s=15)
                except (OSError, ValueError):
                    pass


@pytest.mark.parametrize("name", ["iam", "audit", "keys.0", "risk", "rest", "broker"])
def test_counters_are_what_the_log_says(fresh_fleet, unique, name):
    fleet = fresh_fleet({"limits": {"address": HIGH, "principal": HIGH, "key": HIGH}, "anomaly": QUIET,
                         "sinks": [{"name": "everything", "kind": "file", "path": "everything.jsonl"}]})
    admin = fleet.admin()
    key = unique("invoice")
    fleet.key(admin, key)
    agents = [fleet.agent(admin, ["key:%s:sign" % key], label="a%d" % i) for i in range(3)]
    work = [Work(fleet, a, key) for a in agents]
    [w.start() for w in work]
    try:
        wait_for(lambda: all(w.good > 20 for w in work), 20, what="the work")
        pid = fleet.processes()[name]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: fleet.processes().get(name, 0) not in (0, pid), 30, 0.1, name + " to be started again")
        before = [w.good for w in work]
        wait_for(lambda: all(w.good > b + 20 for w, b in zip(work, before)), 60, what="work after the crash")
    finally:
        [w.stopping.set() for w in work]
        [w.join(30) for w in work]
    admin = fleet.admin()

    def same():
        events = fleet.all_events()
        return all(of_the_log(events, a.id) == said(admin, a.id) for a in agents)
    wait_for(same, 30, 0.2, "the counters to be those of the log")
    for a in agents:
        total = sum(r["allowed"] for r in said(admin, a.id).values())
        wait_for(lambda: admin.ok("GET", "/v1/agents/" + a.id)["allowed_count"] >= total, what="its other counter")


def test_who_sees_and_what_is_asked(fleet, admin, unique):
    key = unique("k")
    fleet.key(admin, key)
    agent = fleet.agent(admin, ["key:%s:sign" % key])
    other = fleet.agent(admin, ["key:%s:sign" % key])
    path = "/v1/agents/%s/usage" % agent.id
    assert sign(agent, key).status == 200
    wait_for(lambda: said(agent, agent.id, "operation=key.sign"), what="its own counters")
    assert other.get(path).status == 403
    assert admin.get(path + "?cursor=AAAA").reason == "bad_cursor"
    assert admin.get(path + "?hour=1").reason == "unknown_field"
    assert admin.get("/v1/agents/agt_%032x/usage" % 1).status == 404
    assert said(admin, agent.id, "until=2020-01-01T00:00:00Z") == {}
    done = fleet.run("agent", "usage", agent.id, "--since", "2h", "--operation", "key.sign", "--json", check=0)
    [row] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (row["operation"], row["allowed"], row["items"]) == ("key.sign", 1, 1)
    assert "OPERATION" in fleet.run("agent", "usage", agent.id, check=0).stdout


def test_a_budget_that_is_exceeded(fresh_fleet, unique):
    fleet = fresh_fleet({"anomaly": dict(QUIET, budget={"high": 25}),
                         "responder": {"rules": [{"detector": "budget", "severity": "high",
                                                  "action": "suspend_agent"}]}})
    admin = fleet.admin()
    key = unique("k")
    fleet.key(admin, key)
    agent = fleet.agent(admin, ["key:%s:sign" % key])
    batch = {"operation": "sign", "items": [SIGN] * 24}
    assert agent.post("/v1/keys/%s/batch" % key, batch).status == 200
    assert sign(agent, key).status == 200  # another operation's budget
    assert agent.post("/v1/keys/%s/batch" % key, batch).status == 200  # 48: over it
    wait_for(lambda: sign(agent, key).status == 403, what="the suspension")
    assert sign(agent, key).reason == "by_responder"
    [found] = [r for r in admin.items("/v1/recommendations?actor=" + agent.id)]
    assert (found["detector"], found["severity"], found["state"]) == ("budget", "high", "acted")
    assert found["details"]["operation"] == "key.batch" and found["details"]["count"] == "48"
    wait_for(lambda: [r["items"] for r in said(admin, agent.id, "operation=key.batch").values()] == [48],
             what="what its counters say")


def test_a_bulk_revocation_is_one_change(fleet, admin, unique):
    """More agents than any list or batch has: the preview counts what is then revoked, and all of it holds at once."""
    boss, key = fleet.person(unique("boss")), unique("k")
    fleet.key(boss, key)
    agents = [fleet.agent(boss, ["key:%s:sign" % key], label="many") for _ in range(600)]
    ask = {"parent": boss.name, "reason": "test"}
    preview = admin.ok("POST", "/v1/agents/revoke", dict(ask, dry_run=True))
    assert (preview["matched"], preview["revoked"]) == (600, 0) and sign(agents[0], key).status == 200
    done = admin.ok("POST", "/v1/agents/revoke", ask)
    assert (done["matched"], done["revoked"], done["items"]) == (600, 600, preview["items"])
    assert {sign(a, key).status for a in agents[::50]} == {401}
    assert admin.ok("POST", "/v1/agents/revoke", ask)["matched"] == 0
    assert len(boss.items("/v1/agents?state=revoked&limit=1000&parent=" + boss.name)) == 600

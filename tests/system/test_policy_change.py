# SPDX-License-Identifier: Apache-2.0
"""Policies that are not in force yet: what they would have decided, and others' policies as Cedar."""
import json

import yaml

from test_policy import ALL, person, put, refused, sign, tenant  # noqa: F401 (a fixture)

STOP = "@id(\"stop\") forbid (principal == Aegis::Human::\"alice\", action == Aegis::Action::\"key.sign\", resource);\n"


def pages(boss, **ask):
    """All answers to a question, and their items."""
    answers, items = [], []
    while True:
        got = boss.ok("POST", "/v1/policy-tools/simulate", ask)
        answers.append(got)
        items += got["items"]
        if got["next_cursor"] is None:
            return answers, items
        ask["cursor"] = got["next_cursor"]


def total(answers, what):
    return sum(a[what] for a in answers)


# ------------------------------------------------------------- P21: simulate

def test_simulate_is_what_then_happens(fleet, tenant):
    alice, bob = (person(fleet, tenant, name, ["key-user"]) for name in ("alice", "bob"))
    for key in ("k", "other"):
        fleet.key(tenant, key)
    assert sign(alice, "k").status == 200  # before there was a policy: nothing says what was looked at
    put(tenant, "base", ALL)
    trace = [(alice, "k"), (bob, "k"), (alice, "other"), (bob, "other"), (alice, "k")]
    ends = [sign(who, key) for who, key in trace]
    assert [e.status for e in ends] == [200] * 5
    assert fleet.event_of(tenant, ends[-1])
    drafts = [{"name": "stop", "text": STOP}]
    answers, changes = pages(tenant, documents=drafts)
    assert (total(answers, "changed"), len(changes)) == (3, 3)
    assert {(c["actor_name"], c["action"], c["before"], c["before_rule"], c["after"], c["after_rule"])
            for c in changes} == {("alice", "key.sign", "allow", "base/0", "deny", "stop/stop")}
    assert [c["resource"] for c in changes] == ["k", "other", "k"]
    assert [c["event_id"] for c in changes] == ["evt_" + e.headers["x-request-id"].replace("-", "")
                                                for e, (who, _) in zip(ends, trace) if who is alice]
    assert total(answers, "unknown") >= 1 and answers[-1]["percent"] == 100
    # Nothing changed; and what was foretold is what happens.
    assert [p["name"] for p in tenant.items("/v1/policies")] == ["base"]
    put(tenant, "stop", STOP)
    would = {(c["actor_name"], c["resource"]) for c in changes}
    names = {id(alice): "alice", id(bob): "bob"}
    for who, key in trace:
        assert (sign(who, key).status == 403) == ((names[id(who)], key) in would)
    # Page by page it is the same; each says how far it got.
    again, items = pages(tenant, documents=[{"name": "stop"}], limit=1)
    assert len(again) >= 3 and len(items) == total(again, "changed") == 3
    assert {(c["before"], c["after"]) for c in items} == {("deny", "allow")}
    percents = [a["percent"] for a in again]
    assert percents == sorted(percents) and percents[-1] == 100
    # Alone: without what is in force, everything is denied.
    _, items = pages(tenant, documents=drafts, alone=True)
    assert {c["after"] for c in items} == {"deny"} and {c["actor_name"] for c in items} >= {"alice", "bob"}


def test_simulate_with_counts(fleet, tenant):
    """Counts are those that were recorded; where none were, the decision is not made again."""
    fleet.key(tenant, "k")
    many = "forbid (principal, action in Aegis::Action::\"use\", resource is Aegis::Key) when { context.recent.day > %d };"
    put(tenant, "base", ALL)
    assert sign(tenant, "k").status == 200
    put(tenant, "base", ALL + many % 100)
    ends = [sign(tenant, "k") for _ in range(4)]
    assert [e.status for e in ends] == [200] * 4 and fleet.event_of(tenant, ends[-1])
    answers, items = pages(tenant, documents=[{"name": "base", "text": ALL + many % 2}])
    assert len(items) == 2 and total(answers, "unknown") >= 1
    assert [i["event_id"] for i in items] == ["evt_" + e.headers["x-request-id"].replace("-", "") for e in ends[2:]]


def test_simulate_refuses(fleet, tenant):
    ask = lambda **body: tenant.request("POST", "/v1/policy-tools/simulate", body)
    bad = ask(documents=[{"name": "base", "text": "permit (principal, action resource);"}])
    assert (bad.status, bad.reason, bad.json["field"]) == (400, "bad_policy", "/documents"), bad
    assert "1:27" in bad.json["detail"]
    for body, reason in (({"documents": [{"name": "No", "text": ALL}]}, "bad_alias"),
                         ({"documents": [{"name": "a"}, {"name": "a"}]}, "conflicting_fields"),
                         ({"since": "2026-11-20T00:00:00Z", "until": "2026-11-19T00:00:00Z"}, "out_of_range"),
                         ({"cursor": "nonsense"}, "bad_cursor"),
                         ({"documents": [{"name": "d%d" % i, "text": ALL} for i in range(65)]}, "out_of_range")):
        got = ask(**body)
        assert (got.status, got.reason) == (400, reason), (body, got)
    user = person(fleet, tenant, "uma", ["key-user"])
    assert user.post("/v1/policy-tools/simulate", {}).reason == "scope_missing"


def test_simulate_command(fleet, tenant, tmp_path):
    token = tmp_path / "token"
    token.write_text(tenant.token)
    token.chmod(0o600)
    folder = tmp_path / "policies"
    folder.mkdir()
    alice = person(fleet, tenant, "alice", ["key-user"])
    fleet.key(tenant, "k")
    put(tenant, "base", ALL)
    assert fleet.event_of(tenant, sign(alice, "k"))
    run = lambda *words, **more: fleet.run("policy", "simulate", str(folder), *words, token=str(token), **more)
    (folder / "base.cedar").write_text(ALL)
    assert "0 would change" in run(check=0).stdout
    (folder / "stop.cedar").write_text(STOP)
    done = run(check=1)
    assert "alice: 1 would change" in done.stdout and ", 1 would change, " in done.stdout
    [line] = [json.loads(text) for text in run("--json", check=1).stdout.splitlines()]
    assert (line["actor_name"], line["after"], line["after_rule"]) == ("alice", "deny", "stop/stop")
    run("--since", "soon", check=2)
    (folder / "stop.cedar").write_text("permit (")
    run(check=2)


# ---------------------------------------------------------- P06, P07: import

RULES = {"version": 1, "rules": [
    {"name": "night", "effect": "deny", "reason": "agents sleep",
     "conditions": {"kinds": "agent", "time": {"hours": "22:00-06:00"}}},
    {"name": "staff", "effect": "allow", "conditions": {"users": ["alice"], "actions": ["use"], "labels": {"env": "test"}}},
    {"name": "default", "effect": "deny", "conditions": {"any": True}}]}


def test_import(fleet, tenant, tmp_path):
    """Rules in YAML become Cedar that is taken as it is and decides the same; the command gives the same text."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(RULES))
    made = tenant.ok("POST", "/v1/policy-tools/import", {"text": path.read_text()})
    assert made["policies"] == 2 and "default is left out" in made["notes"][0]
    done = fleet.run("policy", "import", str(path), check=0)
    assert done.stdout == made["text"] and "default is left out" in done.stderr
    out = tmp_path / "rules.cedar"
    fleet.run("policy", "import", str(path), "--out", str(out), check=0)
    assert out.read_text() == made["text"]
    fleet.run("policy", "validate", str(out), check=0)
    alice = person(fleet, tenant, "alice", ["key-user"])
    fleet.key(tenant, "k", labels={"env": "test"})
    fleet.key(tenant, "p", labels={"env": "prod"})
    put(tenant, "rules", made["text"])
    assert sign(alice, "k").status == 200
    refused(sign(alice, "p"), "no_matching_rule", "default-deny")
    night = {"occurred_at": "2026-01-05T23:00:00Z"}
    asked = tenant.ok("POST", "/v1/authz/check", {"action": "key.sign", "resource": "k", "context": night})
    assert asked["allowed"] is False
    # What depends on the rules' order is refused, with both names; nothing is kept of it.
    turned = dict(RULES, rules=[RULES["rules"][1], RULES["rules"][0]])
    bad = tenant.request("POST", "/v1/policy-tools/import", {"text": yaml.safe_dump(turned)})
    assert (bad.status, bad.reason, bad.json["field"]) == (400, "bad_policy", "/text"), bad
    assert "the order of staff and night matters" in bad.json["detail"]
    path.write_text(yaml.safe_dump(turned))
    done = fleet.run("policy", "import", str(path), check=2)
    assert "rules.yaml:" in done.stderr and "put night first" in done.stderr
    assert [p["name"] for p in tenant.items("/v1/policies")] == ["rules"]

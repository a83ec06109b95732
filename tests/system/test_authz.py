# SPDX-License-Identifier: Apache-2.0
"""What would be decided, without doing it; that it is what is decided; and that it is decided again from the log."""
import json
import os
import shutil

import pytest

from conftest import ROOT, b64

ALL = "permit (principal, action, resource);\n"
SIGN = {"message_b64": b64(b"x")}


@pytest.fixture
def tenant(fleet, admin, unique):
    name = unique("t")
    made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "boss"})
    boss = fleet.client(made["admin"]["token"])
    boss.tenant = name
    yield boss
    boss.close()


def person(fleet, boss, name, roles=(), kind="human"):
    boss.ok("POST", "/v1/principals", {"kind": kind, "name": name, "roles": list(roles)})
    return fleet.client(boss.ok("POST", "/v1/principals/%s/tokens" % name, {})["token"])


def put(boss, name, text):
    return boss.ok("PUT", "/v1/policies/" + name, {"text": text})


def check(who, **ask):
    return who.ok("POST", "/v1/authz/check", ask)


# ------------------------------------------------------------ P05: golden vectors

@pytest.fixture(scope="module")
def golden():
    return json.load(open(os.path.join(ROOT, "tests", "vectors", "policy.json")))


def build_world(fleet, boss, world):
    """The world of the vectors; whose agents have other ids here. Scopes let everything pass: policies decide."""
    ids, clients = {}, {}
    boss.ok("PUT", "/v1/roles/all", {"scopes": ["key:*:*", "agent:*:*", "principal:*:*", "audit:*:*"]})
    for name, who in world["principals"].items():
        if who["kind"] == "agent":
            continue
        clients[name] = person(fleet, boss, name, set(who.get("roles", [])) | {"all"}, who["kind"])
        ids[name] = name
    for alias, key in world["keys"].items():
        fleet.key(boss, alias, spec=key["spec"], labels=key.get("labels"))
    scopes = ["key:%s:%s" % (alias, op) for alias in world["keys"] for op in ("sign", "decrypt", "read", "destroy")]
    for name, who in world["principals"].items():
        if who["kind"] != "agent":
            continue
        above = clients[who["parent"]]
        agent = fleet.agent(above, scopes, label=name, max_depth=3 if who["parent"] in ids and not ids[
            who["parent"]].startswith("agt_") else 0, **({"model": who["model"]} if "model" in who else {}))
        clients[name], ids[name] = agent, agent.id
    return ids


def test_golden_vectors(fleet, tenant, golden):
    """Every vector, through the public socket: as the engine's own test says."""
    ids = build_world(fleet, tenant, golden["world"])
    keys = golden["world"]["keys"]
    # What no scope reaches is refused below policies: those are not asked here.
    # Nor is what needs no scope (who is above an agent may revoke it).
    floor = lambda r: r["action"] == "agent.revoke" or r["principal"] in ("clerk", "helper", "digger") and not (
        r["action"].startswith("key.") and r.get("resource") in keys)
    asked = 0
    for case in golden["cases"]:
        for name, text in case["policies"].items():
            put(tenant, name, text.replace('Tenant::"default"', 'Tenant::"%s"' % tenant.tenant))
        requests = [r for r in case["requests"] if not floor(r)]
        items = []
        for r in requests:
            context = dict(r.get("context", {}))
            said = {"occurred_at": context.get("at", "2026-01-05T12:00:00Z"),
                    "source_address": context.get("source", "10.0.0.1"), "plane": context.get("plane", "rest"),
                    "credential_age_s": context.get("credential_age_s", 60),
                    "stepped_up": context.get("stepped_up", False), "items": context.get("items", 1),
                    "bytes": context.get("bytes", 0), "under_way": context.get("under_way", 1),
                    "tracked": context.get("tracked", True),
                    "recent": context.get("recent", {})}
            item = {"principal": ids[r["principal"]], "action": r["action"], "context": said}
            if "resource" in r:
                item["resource"] = ids.get(r["resource"], r["resource"])
            items.append(item)
        got = tenant.ok("POST", "/v1/authz/bulk-check", {"items": items})["items"]
        for r, answer in zip(requests, got):
            result = answer["result"]
            assert result is not None, (case["name"], r, answer)
            rule = r.get("rule", "default-deny")
            assert (result["decision"], result["rule"]) == (r["expect"], rule), (case["name"], r, result)
            assert (result["reason_code"], result["timeout_ms"]) == (r.get("reason_code"), r.get("timeout_ms")), (r, result)
            asked += 1
    assert asked >= 300


# --------------------------------------------------------------- P15, P16, P22

def test_check(fleet, tenant):
    fleet.key(tenant, "k")
    alice = person(fleet, tenant, "alice", ["key-user"])
    yes = check(tenant, principal="alice", action="key.sign", resource="k")
    assert yes == {"allowed": True, "decision": "allow", "reason_code": None, "rule": None, "reasons": [], "errors": [],
                   "policy_version": None, "timeout_ms": None, "max_ttl_s": None}
    no = check(tenant, principal="alice", action="key.destroy", resource="k")
    assert (no["allowed"], no["reason_code"], no["rule"]) == (False, "scope_missing", "scopes")
    put(tenant, "base", "@id(\"use\") permit (principal, action in Aegis::Action::\"use\", resource);"
        "@id(\"big\") forbid (principal, action, resource) when { context.items + 9223372036854775807 > 0 };")
    yes = check(tenant, principal="alice", action="key.sign", resource="k")
    assert (yes["reasons"], yes["policy_version"], yes["rule"]) == (["base/use"], "1", "base/use")
    assert yes["errors"] == ["base/big: overflow at 1:142"]
    assert check(tenant, action="key.list")["reason_code"] == "no_matching_rule"
    assert check(tenant, action="policy.update")["allowed"] is True
    assert check(tenant, action="principal.whoami")["allowed"] is True
    for ask, field, reason in (({"action": "key.sing", "resource": "k"}, "/action", "unknown_value"),
                               ({"action": "key.sign"}, "/resource", "missing"),
                               ({"action": "key.list", "resource": "k"}, "/resource", "conflicting_fields"),
                               ({"action": "key.sign", "resource": "k", "principal": "nobody"}, "/principal",
                                "unknown_value"),
                               ({"action": "key.batch", "resource": "k"}, "/action", "unknown_value"),
                               ({"action": "key.sign", "resource": "x" * 64}, "/resource", "out_of_range")):
        got = tenant.post("/v1/authz/check", ask)
        assert (got.status, got.json["field"], got.reason) == (400, field, reason), got
    assert alice.post("/v1/authz/check", {"action": "key.list"}).reason == "scope_missing"


def test_bulk_is_many_single_ones(fleet, tenant):
    fleet.key(tenant, "k")
    person(fleet, tenant, "alice", ["key-user"])
    put(tenant, "base", "permit (principal, action, resource) unless { resource == Aegis::Key::\"k\" && "
        "action == Aegis::Action::\"key.decrypt\" };")
    actions = ["key.sign", "key.decrypt", "key.read", "key.destroy", "key.nothing"]
    asks = [{"principal": who, "action": actions[i % 5], "resource": ["k", "gone"][i % 2]}
            for i, who in enumerate(["alice", "boss", "nobody"] * 33 + ["boss"])]
    assert len(asks) == 100
    got = tenant.ok("POST", "/v1/authz/bulk-check", {"items": asks})["items"]
    for ask, item in zip(asks, got):
        single = tenant.post("/v1/authz/check", ask)
        if single.status == 200:
            assert item == {"result": single.json, "error": None}
        else:
            assert item["result"] is None
            assert [item["error"][k] for k in ("code", "reason_code", "field")] == [
                single.json[k] for k in ("code", "reason_code", "field")]
    assert tenant.post("/v1/authz/bulk-check", {"items": asks + asks[:1]}).reason == "out_of_range"
    assert tenant.post("/v1/authz/bulk-check", {"items": []}).status == 400


def test_explain(fleet, tenant):
    fleet.key(tenant, "k", labels={"env": "prod"})
    alice = person(fleet, tenant, "alice", ["key-user", "agent-issuer"])
    agent = fleet.agent(alice, ["key:k:sign"], label="clerk")
    put(tenant, "base", "// one\n@id(\"prod\") @reason(\"not in prod\")\nforbid (principal, action, resource is "
        "Aegis::Key) when { resource.hasTag(\"env\") && resource.getTag(\"env\") == \"prod\" };")
    told = tenant.ok("POST", "/v1/authz/explain", {"principal": agent.id, "action": "key.sign", "resource": "k"})
    assert (told["result"]["decision"], told["result"]["rule"]) == ("deny", "base/prod")
    assert told["policies"] == [{"rule": "base/prod", "effect": "forbid", "said": "decided", "reason": "not in prod",
                                 "detail": None, "line": 2, "column": 1}]
    assert told["attributes"]["resource tag env"] == "prod" and told["attributes"]["principal in 1"] == "alice"
    assert [s["scope"] for s in told["scopes"]] == ["key:k:sign", "key:*:sign"]
    told = tenant.ok("POST", "/v1/authz/explain", {"principal": agent.id, "action": "key.read", "resource": "k"})
    assert told["result"]["reason_code"] == "scope_missing" and told["scopes"][0]["scope"] is None
    assert agent.post("/v1/authz/explain", {"action": "key.sign", "resource": "k"}).reason == "scope_missing"


# ------------------------------------------------------------------------- P03

def test_effective_is_what_check_says(fleet, tenant):
    """All operations with the tenant and each key, of 50 policies: one by one the same."""
    for i in range(5):
        fleet.key(tenant, "k%d" % i, labels={"n": str(i)})
    person(fleet, tenant, "alice", ["key-user", "auditor"])
    al = person(fleet, tenant, "al", ["key-user"])
    put(tenant, "base", "".join(
        "permit (principal == Aegis::Human::\"%s\", action == Aegis::Action::\"key.%s\", resource == "
        "Aegis::Key::\"k%d\");\n" % (who, op, n)
        for who in ("alice", "boss") for op in ("sign", "read", "destroy", "encrypt", "public-key") for n in range(5))
        + "@step_up(\"totp\") permit (principal, action == Aegis::Action::\"key.encrypt\", resource);\n"
        + "permit (principal, action == Aegis::Action::\"audit.query\", resource);\n"
        + "permit (principal == Aegis::Human::\"boss\", action == Aegis::Action::\"principal.effective\", resource);")
    for who in ("alice", "boss"):
        items = tenant.items("/v1/principals/%s/effective?limit=2" % who)
        assert [i["type"] for i in items] == ["tenant"] + ["key"] * 5
        for item in items:
            ask = {"principal": who}
            if item["type"] == "key":
                ask["resource"] = item["id"]
            for op in ("sign", "read", "destroy", "encrypt", "public-key", "decrypt", "rotate", "list", "create"):
                got = tenant.post("/v1/authz/check", dict(ask, action="key." + op))
                if got.status == 400:
                    continue  # about no single thing, or about one
                where = {"allow": item["allow"], "step_up": item["step_up"], "deny": []}
                assert ("key." + op in item["allow"], "key." + op in item["step_up"]) == (
                    got.json["decision"] == "allow", got.json["decision"] == "step_up"), (who, op, item, got)
    assert al.get("/v1/principals/boss/effective").status == 403
    assert tenant.get("/v1/principals/nobody/effective").status in (403, 404)


# --------------------------------------------------------------------- replay

def test_replay_decides_by_policies_again(fleet, tenant, tmp_path):
    for name in ("payroll", "other"):
        fleet.key(tenant, name, labels={"env": name})
    alice = person(fleet, tenant, "alice", ["key-user", "agent-issuer"])
    put(tenant, "base", "permit (principal, action, resource);")
    agent = fleet.agent(alice, ["key:payroll:sign", "key:other:sign"], model="m")
    ends = [agent.post("/v1/keys/payroll/sign", SIGN)]
    put(tenant, "stop", "@id(\"no\") forbid (principal is Aegis::Agent, action, resource is Aegis::Key) when { "
        "resource.hasTag(\"env\") && resource.getTag(\"env\") == \"payroll\" && principal has model && "
        "principal.model == \"m\" };")
    ends += [agent.post("/v1/keys/payroll/sign", SIGN), agent.post("/v1/keys/other/sign", SIGN),
             alice.post("/v1/keys/payroll/sign", SIGN), alice.get("/v1/keys/nowhere"),
             tenant.get("/v1/principals/alice"), tenant.get("/v1/agents/" + agent.id), tenant.get("/v1/keys")]
    tenant.ok("DELETE", "/v1/policies/stop?reason=over")
    tenant.ok("DELETE", "/v1/policies/base?reason=over")
    ends.append(agent.post("/v1/keys/other/sign", SIGN))
    assert [e.status for e in ends] == [200, 403, 200, 200, 404, 200, 200, 200, 403]
    fleet.all_events()
    done = fleet.run("audit", "replay", "--json")
    assert done.returncode == 0, done.stdout[-2000:]
    by_id = {line["event_id"]: line for line in (json.loads(text) for text in done.stdout.splitlines())}
    for e in ends:
        line = by_id["evt_" + e.headers["x-request-id"].replace("-", "")]
        assert (line["policy"], line["why"]) == ("equal", None), line
    assert not [line for line in by_id.values() if line["policy"] in ("different", "not recorded")]
    # Another rule than the one that decided: it comes out different.
    copy = tmp_path / "audit"
    shutil.copytree(os.path.join(fleet.state, "audit"), copy)
    event_id = "evt_" + ends[1].headers["x-request-id"].replace("-", "")
    name = sorted(copy.glob("*.seg"))[-1]
    data = name.read_bytes()
    where = data.index(b"stop/no", data.index(event_id.encode()))
    where = data.index(b"stop/no", where + 1)
    name.write_bytes(data[:where] + b"stop/on" + data[where + 7:])
    done = fleet.run("audit", "replay", event_id, "--dir", str(copy))
    assert done.returncode == 1 and "the rule comes to stop/no" in done.stdout, done.stdout

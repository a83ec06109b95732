# SPDX-License-Identifier: Apache-2.0
"""Who may do what, through the public socket: people, roles, tokens, agents,
the chain, revocation, tenants, rates."""
import base64
import json

import pytest

from conftest import CONFIG, b64, wait_for

SIGN = {"message_b64": b64(b"x")}
WHY = {"reason": "because"}


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refused(got, status, reason):
    assert (got.status, got.reason) == (status, reason), got


def sign(who, key):
    return who.post("/v1/keys/%s/sign" % key, SIGN)


# ------------------------------------------------------------ I31, I01, I45

def test_principal_crud(fleet, admin, unique):
    name = unique("bob")
    made = admin.ok("POST", "/v1/principals", {"kind": "service", "name": name, "labels": {"team": "a"}})
    assert made["id"].startswith("svc_") and made["state"] == "active" and made["revision"] == 1
    assert made["roles"] == [] and made["external"] is None and made["totp"] == "none"
    path = "/v1/principals/" + name
    got = admin.get(path)
    assert got.json == made and got.headers["etag"] == '"1"'
    changed = admin.request("PATCH", path, {"labels": {"team": None, "b": "c"}}, headers={"If-Match": '"1"'})
    assert changed.json["labels"] == {"b": "c"} and changed.json["revision"] == 2
    stale = admin.request("PATCH", path, {"labels": {"x": "y"}}, headers={"If-Match": '"1"'})
    assert (stale.status, stale.code) == (412, "PreconditionFailed")
    refused(admin.post("/v1/principals", {"kind": "human", "name": name}), 409, "name")
    refused(admin.post("/v1/principals", {"kind": "agent", "name": unique()}), 400, "unknown_value")
    refused(admin.post("/v1/principals", {"kind": "human", "name": "Upper"}), 400, "bad_alias")
    assert admin.ok("DELETE", path + "?reason=left")["state"] == "deleted"
    assert name not in [p["name"] for p in admin.items("/v1/principals?limit=3")]
    assert name in [p["name"] for p in admin.items("/v1/principals?state=deleted")]
    refused(admin.post(path + "/resume", WHY), 409, "transition")


def test_registry(fleet, admin, unique):
    alice = fleet.person(unique("alice"))
    agents = [fleet.agent(alice, ["key:x:sign"], label="r%d" % i, model="m") for i in range(4)]
    alice.ok("POST", "/v1/agents/%s/revoke" % agents[0].id, WHY)
    live = alice.items("/v1/agents?parent=%s&state=live&limit=2" % alice.id)
    assert [a["id"] for a in live] == [a.id for a in agents[1:]]
    agents[1].ok("GET", "/v1/whoami")
    agents[1].get("/v1/principals")  # refused: no scope
    seen = lambda: (lambda a: (a["allowed_count"], a["refused_count"]) == (1, 1) and a)(
        alice.ok("GET", "/v1/agents/" + agents[1].id))
    assert wait_for(seen, 5, what="the counts")["last_activity_at"] is not None


# -------------------------------------------------- I07 to I12, I44: issuing

def test_issue(fleet, admin, unique):
    name = unique("k")
    fleet.key(admin, name)
    made = admin.ok("POST", "/v1/agents/issue",
                    {"label": "batch", "scopes": ["key:%s:sign" % name], "model": "model-x", "ttl_s": 120})
    claims = claims_of(made["token"])
    assert claims["iss"] == claims["aud"] == "aegis" and claims["sub"] == made["agent_id"]
    assert claims["aegis_kind"] == "agent" and claims["aegis_parent"] == made["parent"]
    assert claims["exp"] - claims["iat"] == 120
    agent = fleet.client(made["token"])
    who = agent.ok("GET", "/v1/whoami")
    assert who["scopes"] == ["key:%s:sign" % name] and [c["kind"] for c in who["chain"]] == ["human", "agent"]
    answer = sign(agent, name)
    assert answer.status == 200
    [event] = fleet.event_of(admin, answer)
    assert event["actor"]["model"] == "model-x" and event["actor"]["id"] == made["agent_id"]


@pytest.mark.parametrize("change,status,reason", [
    ({"ttl_s": 59}, 400, "out_of_range"),
    ({"ttl_s": 86401}, 400, "out_of_range"),
    ({"scopes": ["key:*:sign"]}, 400, "bad_scope"),
    ({"scopes": ["keys:a:sign"]}, 400, "bad_scope"),
    ({"scopes": []}, 400, "out_of_range"), ({"scopes": None}, 400, "missing"),
    ({"max_depth": 11}, 400, "out_of_range"),
    ({"source_cidrs": ["10.0.0.1/8"]}, 400, "unknown_value"),
])
def test_issue_refused(fleet, admin, change, status, reason):
    refused(admin.post("/v1/agents/issue", dict({"label": "l", "scopes": ["key:a:sign"]}, **change)), status, reason)


def test_scopes_within_the_parent(fleet, admin, unique):
    alice = fleet.person(unique("alice"), ["agent-issuer"])
    body = {"label": "l", "scopes": ["key:a:sign"]}
    refused(alice.post("/v1/agents/issue", body), 403, "parent_scope_missing")
    refused(alice.post("/v1/agents/issue", dict(body, parent="admin")), 403, "parent_scope_missing")
    agent = fleet.agent(admin, ["key:a:sign"])
    refused(agent.post("/v1/agents/issue", body), 403, "delegate_not_allowed")


def test_depth_and_chain(fleet, admin):
    scopes = ["key:a:sign"]
    a = fleet.agent(admin, scopes, max_depth=2)
    b = fleet.agent(a, scopes, max_depth=1)
    c = fleet.agent(b, scopes)
    chain = admin.ok("GET", "/v1/agents/%s/delegation-chain" % c.id)["items"]
    assert [i["id"] for i in chain][1:] == [a.id, b.id, c.id] and chain[0]["name"] == "admin"
    deeper = c.post("/v1/agents/issue", {"label": "l", "scopes": scopes})
    assert (deeper.status, deeper.code) == (403, "DelegationDepthExceeded")


def test_chain_is_asked_on_every_call(fleet, admin, unique):
    name = unique("k")
    fleet.key(admin, name)
    alice = fleet.person(unique("alice"), ["key-user", "agent-issuer"])
    agent = fleet.agent(alice, ["key:%s:sign" % name])
    assert sign(agent, name).status == 200
    role = "/v1/principals/%s/roles/key-user" % alice.name
    admin.ok("DELETE", role)
    refused(sign(agent, name), 403, "parent_scope_missing")
    admin.ok("PUT", role, {})
    assert sign(agent, name).status == 200


def test_expiry(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    agent = fleet.agent(admin, ["key:a:sign"], ttl_s=600, max_depth=1)
    child = fleet.agent(agent, ["key:a:sign"], ttl_s=3600)
    assert child.made["expires_at"] == agent.made["expires_at"]
    assert agent.get("/v1/whoami").status == 200
    fleet.move_clock(601)
    wait_for(lambda: agent.get("/v1/whoami").status == 401, what="the clock")
    refused(agent.get("/v1/whoami"), 401, "token_expired")
    refused(child.get("/v1/whoami"), 401, "token_expired")
    assert admin.ok("GET", "/v1/agents/" + agent.id)["state"] == "expired"
    said = lambda: [e for e in fleet.events(admin, "event_type=lifecycle") if e["operation"] == "agent.expire"]
    wait_for(lambda: len(said()) == 2, 60, what="the lifecycle events")
    assert sorted(e["resource"]["id"] for e in said()) == sorted([agent.id, child.id])


# --------------------------------------------------- I20, I21: revocation

def test_revocation_takes_the_subtree(fleet, admin, unique):
    alice = fleet.person(unique("alice"))
    top = fleet.agent(alice, ["key:a:sign"], max_depth=2)
    middle = fleet.agent(top, ["key:a:sign"], max_depth=1)
    leaf = fleet.agent(middle, ["key:a:sign"])
    got = admin.ok("POST", "/v1/agents/%s/revoke" % middle.id, WHY)
    assert got["revoked"] == 2 and got["already"] is False and got["event_id"].startswith("evt_")
    refused(leaf.get("/v1/whoami"), 401, "token_revoked")
    assert top.get("/v1/whoami").status == 200
    again = admin.ok("POST", "/v1/agents/%s/revoke" % middle.id, WHY)
    assert (again["revoked"], again["already"]) == (0, True)
    admin.ok("POST", "/v1/principals/%s/suspend" % alice.name, WHY)
    got = alice.get("/v1/whoami")
    assert (got.status, got.code, got.reason) == (403, "PrincipalSuspended", "by_person")
    refused(top.get("/v1/whoami"), 401, "parent_inactive")
    admin.ok("POST", "/v1/principals/%s/resume" % alice.name, WHY)
    assert top.get("/v1/whoami").status == 200
    assert admin.ok("DELETE", "/v1/principals/%s?reason=left" % alice.name)["revoked"] == 1
    refused(top.get("/v1/whoami"), 401, "token_revoked")
    refused(admin.post("/v1/agents/issue", {"label": "l", "scopes": ["key:a:sign"], "parent": alice.name}),
            403, "parent_scope_missing")


def test_revoke_many(fleet, admin, unique):
    label = unique("many")
    agents = [fleet.agent(admin, ["key:a:sign"], label=label) for _ in range(5)]
    dry = admin.ok("POST", "/v1/agents/revoke", {"label": label, "reason": "r", "dry_run": True})
    assert (dry["matched"], dry["revoked"]) == (5, 0)
    done = admin.ok("POST", "/v1/agents/revoke", {"label": label, "reason": "r"})
    assert (done["matched"], done["revoked"]) == (5, 5)
    for agent in agents:
        refused(agent.get("/v1/whoami"), 401, "token_revoked")
    refused(admin.post("/v1/agents/revoke", {"reason": "r"}), 400, "missing")


def test_tokens(fleet, admin, unique):
    alice = fleet.person(unique("alice"), [])
    tokens = "/v1/principals/%s/tokens" % alice.name
    made = admin.ok("POST", tokens, {"ttl_s": 60})
    assert made["token_type"] == "Bearer"
    other = fleet.client(made["token"])
    assert other.get("/v1/whoami").status == 200
    assert made["jti"] in [t["jti"] for t in admin.items(tokens)]
    got = alice.ok("POST", "/v1/tokens/%s/revoke" % made["jti"], WHY)  # own
    assert got["already"] is False
    refused(other.get("/v1/whoami"), 401, "token_revoked")
    assert alice.get("/v1/whoami").status == 200
    assert admin.ok("POST", "/v1/tokens/%s/revoke" % made["jti"], WHY)["already"] is True
    refused(admin.post(tokens, {"ttl_s": 2592001}), 400, "out_of_range")
    refused(admin.post(tokens, {"scopes": ["a:b"]}), 400, "bad_scope")


def test_idempotent_issue_shows_the_token_once(fleet, admin, unique):
    headers = {"Idempotency-Key": unique("once")}
    body = {"label": "l", "scopes": ["key:a:sign"]}
    first = admin.post("/v1/agents/issue", body, headers=headers)
    again = admin.post("/v1/agents/issue", body, headers=headers)
    assert first.status == again.status == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json["token"] is None and again.json["agent_id"] == first.json["agent_id"]
    other = admin.post("/v1/agents/issue", dict(body, label="m"), headers=headers)
    assert (other.status, other.code) == (422, "IdempotencyMismatch")


# ------------------------------------------------------------- P01, P02, P22

def test_no_roles_no_rights(fleet, admin, unique):
    name = unique("k")
    fleet.key(admin, name)
    nobody = fleet.person(unique("nobody"), [], kind="service")
    for method, path in [("GET", "/v1/keys/" + name), ("GET", "/v1/keys"), ("GET", "/v1/audit"),
                         ("GET", "/v1/principals"), ("GET", "/v1/agents"), ("GET", "/v1/keys/no-such-key")]:
        got = nobody.request(method, path)
        refused(got, 403, "scope_missing")
        assert got.json["rule"]
    assert nobody.get("/v1/whoami").status == 200


def test_existence(fleet, admin, unique):
    ghost = unique("ghost")
    agent = fleet.agent(admin, ["key:%s:sign" % ghost])
    assert sign(agent, ghost).status == 404
    refused(sign(agent, unique("other")), 403, "scope_missing")
    assert sign(admin, ghost).status == 404


def test_label_scope(fleet, admin, unique):
    name, team = unique("k"), unique("team")
    fleet.key(admin, name, labels={"team": team})
    agent = fleet.agent(admin, ["key:label=team=%s:sign" % team])
    assert sign(agent, name).status == 200
    admin.ok("PATCH", "/v1/keys/" + name, {"labels": {"team": None}})
    refused(sign(agent, name), 403, "scope_missing")


def test_last_admin(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    refused(admin.post("/v1/principals/admin/suspend", WHY), 409, "last_admin")
    refused(admin.request("DELETE", "/v1/principals/admin/roles/admin"), 409, "last_admin")
    roles = dict((r["name"], r) for r in admin.items("/v1/roles"))
    assert sorted(roles) == ["admin", "agent-issuer", "auditor", "key-admin", "key-user"]
    assert roles["auditor"]["scopes"] == ["audit:*:read", "*:*:read", "*:*:list"]


# ------------------------------------------------------------------ M01, RL

def test_tenants_are_walled(fleet, admin, unique):
    tenant, name = unique("acme"), unique("k")
    mine = fleet.key(admin, name)
    agent = fleet.agent(admin, ["key:%s:sign" % name])
    made = admin.ok("POST", "/v1/tenants", {"name": tenant, "admin_name": "boss"})
    boss = fleet.client(made["admin"]["token"])
    assert boss.ok("GET", "/v1/whoami")["tenant"] == tenant
    for path in ("/v1/keys/" + mine["id"], "/v1/keys/" + name, "/v1/agents/" + agent.id, "/v1/principals/admin",
                 "/v1/agents/%s/delegation-chain" % agent.id):
        assert boss.get(path).status == 404, path
    assert boss.post("/v1/agents/%s/revoke" % agent.id, WHY).status == 404
    assert boss.items("/v1/agents") == [] and boss.items("/v1/keys") == []
    theirs = fleet.key(boss, name)  # the same alias, another key
    assert theirs["id"] != mine["id"] and theirs["tenant"] == tenant
    assert boss.ok("GET", "/v1/keys/" + name)["id"] == theirs["id"]
    assert boss.get("/v1/tenants").status == 403
    assert tenant in [t["name"] for t in admin.items("/v1/tenants")]


def test_rate(fresh_fleet):
    high = {"rate": 1000000, "window_s": 60}
    fleet = fresh_fleet({"limits": {"address": high, "key": high, "principal": {"rate": 10, "window_s": 60}}})
    admin = fleet.admin()
    seen = [admin.get("/v1/whoami") for _ in range(12)]
    assert [a.status for a in seen] == [200] * 10 + [429] * 2
    assert seen[0].headers["ratelimit-policy"] == '"principal";q=10;w=60'
    assert seen[0].headers["ratelimit"].startswith('"principal";r=9;t=')
    assert seen[9].headers["ratelimit"].startswith('"principal";r=0;t=')
    assert seen[10].reason == "principal" and 1 <= int(seen[10].headers["retry-after"]) <= 66


# ------------------------------------------------------------- RL04, RL06

def test_every_429_is_counted_and_recorded(fresh_fleet):
    """One more on the counter and one event each, whichever limit it was."""
    fleet = fresh_fleet(dict(CONFIG, limits={"principal": {"rate": 20, "window_s": 60},
                                             "authentication": {"rate": 5, "window_s": 60}}))
    admin = fleet.admin()
    statuses = [admin.get("/v1/whoami").status for _ in range(30)]
    assert statuses == [200] * 20 + [429] * 10
    wrong = [fleet.client("a.b.c").get("/v1/whoami") for _ in range(8)]
    assert [got.status for got in wrong] == [401] * 5 + [429] * 3
    assert wrong[-1].reason == "address" and int(wrong[-1].headers["retry-after"]) >= 1
    # a token that was verified before is looked at no more than before: its own limit answers
    assert admin.get("/v1/whoami").reason == "principal"
    told = [e for e in fleet.all_events() if e["code"] == "RateLimited"]  # which asks once more itself
    assert sorted(e["reason_code"] for e in told) == ["address"] * 3 + ["principal"] * 12
    counted = sum(float(line.split()[-1]) for line in fleet.client().get("/metrics").data.decode().splitlines()
                  if line.startswith("aegis_iam_limited_total"))
    assert counted == len(told)

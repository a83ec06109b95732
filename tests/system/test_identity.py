# SPDX-License-Identifier: Apache-2.0
"""The life of agents, roles and tenants through the public socket, and what of it outlives crashes."""
import os
import shutil
import signal
import time

import pytest

from conftest import CONFIG, b64, wait_for

SIGN = {"message_b64": b64(b"x")}
WHY = {"reason": "because"}


def refused(got, status, reason):
    assert (got.status, got.reason) == (status, reason), got


def metric(who, name):
    for line in who.get("/metrics").data.decode().splitlines():
        if line.split("{")[0].split(" ")[0] == name:
            return float(line.split(" ")[-1])
    return None


def crash(fleet, name):
    """kill -9 of one process; waits for the next one."""
    pid = fleet.processes()[name]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: fleet.processes()[name] not in (0, pid), 30, what="another " + name)
    wait_for(lambda: fleet.admin().get("/healthz/ready").status == 200, 30, what="the fleet")


# ---------------------------------------------------- I32: expiry; I45, M02

def test_expired_once_and_readable_for_ever(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, limits={"ended_kept_s": 60, "tenant": {"agents": 5}}))
    admin = fleet.admin()
    agents = [fleet.agent(admin, ["key:a:sign"], ttl_s=600, max_depth=1) for _ in range(3)]
    agents.append(fleet.agent(agents[0], ["key:a:sign"]))
    agents.append(fleet.agent(admin, ["key:a:sign"], ttl_s=600))
    refused(admin.post("/v1/agents/issue", {"label": "more", "scopes": ["key:a:sign"]}), 429, "account")
    admin.ok("POST", "/v1/agents/%s/revoke" % agents[4].id, WHY)
    fleet.move_clock(601)
    said = lambda: [e["resource"]["id"] for e in fleet.events(admin, "event_type=lifecycle")
                    if e["operation"] == "agent.expire"]
    wait_for(lambda: len(said()) >= 4, 60, what="the lifecycle events")
    crash(fleet, "iam")
    was = dict((a.id, admin.ok("GET", "/v1/agents/" + a.id)) for a in agents)
    assert [was[a.id]["state"] for a in agents] == ["expired"] * 4 + ["revoked"]
    fleet.move_clock(120)
    wait_for(lambda: metric(admin, "aegis_iam_agents") == 0, 30, what="iam to let go of them")
    for agent in agents:
        assert admin.ok("GET", "/v1/agents/" + agent.id) == was[agent.id]
    assert sorted(a["id"] for a in admin.items("/v1/agents?limit=2")) == sorted(was)
    assert sorted(a["id"] for a in admin.items("/v1/agents?state=expired")) == sorted(a.id for a in agents[:4])
    fleet.agent(admin, ["key:a:sign"])  # there is room again
    # Everything of it is in the journal.
    token = admin.token
    fleet.stop()
    shutil.rmtree(os.path.join(fleet.state, "snapshots"))
    fleet.start()
    admin = fleet.client(token)
    for agent in agents:
        now = admin.ok("GET", "/v1/agents/" + agent.id)
        assert now == was[agent.id]
    assert sorted(said()) == sorted(a.id for a in agents[:4])


# ------------------------------------------------------------------ I33: roles

def test_roles_of_a_tenant(fleet, admin, unique):
    key, base, top = unique("k"), unique("base"), unique("top")
    fleet.key(admin, key)
    bob = fleet.person(unique("bob"), [])
    made = admin.ok("PUT", "/v1/roles/" + base, {"scopes": ["key:%s:sign" % key]})
    assert made == {"name": base, "scopes": ["key:%s:sign" % key], "inherits": [], "builtin": False, "revision": 1}
    fleet.run("role", "set", top, "--inherit", base, check=0)
    assert admin.get("/v1/roles/" + top).json["inherits"] == [base]
    assert admin.get("/v1/roles/" + top).headers["etag"] == '"1"'
    assert {"admin", base, top} <= {r["name"] for r in admin.items("/v1/roles?limit=2")}
    path = "/v1/principals/%s/roles/%s" % (bob.name, top)
    admin.ok("PUT", path, {})
    sign = lambda: bob.post("/v1/keys/%s/sign" % key, SIGN).status
    assert sign() == 200
    refused(admin.request("PUT", "/v1/roles/" + base, {"scopes": [], "inherits": [top]}), 409, "role_cycle")
    admin.ok("PUT", "/v1/roles/" + base, {"scopes": []})
    assert sign() == 403
    admin.ok("PUT", "/v1/roles/" + base, {"scopes": ["key:*:sign"]})
    assert sign() == 200
    refused(bob.request("PUT", "/v1/roles/" + unique("r"), {"scopes": []}), 403, "scope_missing")
    fleet.run("role", "delete", base, "--reason", "unused", check=0)
    assert sign() == 403
    assert admin.get("/v1/roles/" + base).status == 404
    refused(admin.request("DELETE", "/v1/roles/admin?reason=x"), 403, "system_attribute")


def test_a_role_begins_and_ends_to_the_second(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    bob = fleet.person("bob", [])
    stamp = lambda s: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(s))
    begin = int(fleet.now()) + 100
    admin.ok("PUT", "/v1/principals/bob/roles/auditor", {"valid_from": stamp(begin), "valid_until": stamp(begin + 100)})
    roles = admin.ok("GET", "/v1/principals/bob")["roles"]
    assert [(r["name"], r["valid_from"], r["valid_until"]) for r in roles] == \
        [("auditor", stamp(begin), stamp(begin + 100))]
    listing = lambda: bob.get("/v1/principals").status
    # What is seen must agree with the time at which iam saw it, as its event says.
    for step in (0, 97, 2, 98, 3):
        fleet.move_clock(step)
        time.sleep(0.15)  # the clock's file is read again within 100 ms
        got = bob.get("/v1/principals")
        at = admin.items("/v1/audit?request_id=" + got.headers["x-request-id"])[0]["occurred_at"]
        inside = stamp(begin) <= at < stamp(begin + 100)
        assert (got.status == 200) == inside, (got, at, stamp(begin))
    assert listing() == 403


# ------------------------------------------------- I31: null in a merge patch

def test_null_removes(fleet, admin, unique):
    name = unique("carol")
    who = {"issuer": "https://idp.example", "subject": "carol"}
    admin.ok("POST", "/v1/principals", {"kind": "human", "name": name, "labels": {"a": "1", "b": "2"}, "external": who})
    patch = lambda body: admin.request("PATCH", "/v1/principals/" + name, body)
    assert patch({"external": {"subject": "carol2"}}).json["external"] == dict(who, subject="carol2")
    assert patch({"external": {}}).json["external"] == dict(who, subject="carol2")
    refused(patch({"external": {"issuer": None}}), 400, "missing")
    refused(patch({"external": {"subject": ""}}), 400, "out_of_range")
    assert patch({"external": None}).json["external"] is None
    refused(patch({"external": {"subject": "carol"}}), 400, "missing")
    assert patch({"labels": {"a": None}}).json["labels"] == {"b": "2"}
    assert patch({"labels": None}).json["labels"] == {}
    refused(patch({"nulls": ["/labels"]}), 400, "unknown_field")
    key = unique("k")
    fleet.key(admin, key, labels={"a": "1", "b": "2"}, rotation={"every_s": 3600, "after_operations": 9})
    patch = lambda body: admin.request("PATCH", "/v1/keys/" + key, body).json
    assert patch({"rotation": {"every_s": None}})["rotation"] == \
        {"every_s": None, "after_operations": 9, "next_at": None}
    assert patch({"rotation": None})["rotation"] is None
    assert patch({"rotation": {"every_s": 60}})["rotation"]["every_s"] == 60
    assert patch({"rotation": {"every_s": None}})["rotation"] is None
    assert patch({"labels": {"a": None, "c": "3"}})["labels"] == {"b": "2", "c": "3"}
    assert patch({"labels": None})["labels"] == {}
    assert admin.ok("GET", "/v1/keys/" + key)["labels"] == {}


# ---------------------------------------------------------------- M03: tenants

def test_a_tenant_sleeps_and_ends(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    acme = fleet.client(admin.ok("POST", "/v1/tenants", {"name": "acme", "admin_name": "ann"})["admin"]["token"])
    fleet.key(acme, "secret", "AES_256")
    for i in range(70):
        fleet.key(acme, "k%d" % i, "AES_256", activate=False)
    sealed = acme.ok("POST", "/v1/keys/secret/encrypt", {"plaintext_b64": b64(b"x")})["ciphertext_b64"]
    agent = fleet.agent(acme, ["key:secret:decrypt"])
    opened = lambda who: who.post("/v1/keys/secret/decrypt", {"ciphertext_b64": sealed})
    assert opened(agent).status == 200
    fleet.run("tenant", "suspend", "acme", "--reason", "unpaid", check=0)
    refused(opened(agent), 401, "tenant_suspended")
    refused(acme.get("/v1/whoami"), 401, "tenant_suspended")
    refused(admin.post("/v1/tenants/default/suspend", WHY), 409, "transition")
    admin.ok("POST", "/v1/tenants/acme/resume", WHY)
    assert opened(agent).status == 200
    assert admin.ok("DELETE", "/v1/tenants/acme?reason=left")["state"] == "deleting"
    refused(opened(agent), 401, "token_revoked")
    os.kill(fleet.processes()["software"], signal.SIGKILL)
    crash(fleet, "iam")
    state = lambda: {t["name"]: t["state"] for t in admin.items("/v1/tenants")}["acme"]
    wait_for(lambda: state() == "deleted", 60, what="the keys of acme to be erased")
    said = wait_for(lambda: [e for e in fleet.events(admin, "event_type=lifecycle")
                             if e["operation"] == "system.tenant-erased"], what="the record of it")
    assert [(e["resource"]["id"], e["params"]["erased"]) for e in said] == [("acme", "71")]
    refused(acme.get("/v1/whoami"), 401, "token_revoked")
    slots = open(os.path.join(fleet.state, "rot", "wrapping.keys"), "rb").read()
    used = sum(1 for at in range(64, len(slots), 64) if slots[at])
    assert used < 10, used  # what is left is the house's own
    fleet.stop()
    done = fleet.run("audit", "verify", "--dir", os.path.join(fleet.state, "audit"), "--public-key",
                     os.path.join(fleet.state, "audit", "public-key.pem"), "--tenant", "acme")
    assert done.returncode == 0 and "events verified" in done.stdout, done


# --------------------------------------------------------- I08: uses, networks

def test_uses_are_never_exceeded(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"], max_uses=6)

    def sign():
        """As a client does: what is 503 was not done, and is tried again."""
        answers = []
        wait_for(lambda: answers.append(agent.post("/v1/keys/k/sign", SIGN)) or answers[-1].status != 503, 10)
        return answers[-1]

    assert [sign().status for _ in range(3)] == [200] * 3
    crash(fleet, "iam")
    assert [sign().status for _ in range(5)] == [200] * 3 + [409] * 2
    refused(sign(), 409, "max_uses")
    assert admin.ok("GET", "/v1/agents/" + agent.id)["max_uses"] == 6


def test_networks_of_an_agent(fleet, admin, unique):
    name = unique("k")
    fleet.key(admin, name)
    sign = lambda who: who.post("/v1/keys/%s/sign" % name, SIGN)
    here = fleet.agent(admin, ["key:%s:sign" % name], source_cidrs=["127.0.0.0/8", "::1/128"])
    assert sign(here).status == 200
    away = fleet.agent(admin, ["key:%s:sign" % name], source_cidrs=["192.0.2.0/24", "2001:db8::/32"])
    refused(sign(away), 403, "source_address")
    refused(admin.post("/v1/agents/issue", {"label": "l", "scopes": ["key:%s:sign" % name],
                                            "source_cidrs": ["192.0.2.1/24"]}), 400, "unknown_value")


def test_a_replay_shows_no_token(fleet, admin, unique):
    once = {"Idempotency-Key": unique("once")}
    ask = {"label": "l", "scopes": ["key:x:sign"]}
    first = admin.request("POST", "/v1/agents/issue", ask, headers=once)
    again = admin.request("POST", "/v1/agents/issue", ask, headers=once)
    assert first.status == again.status == 201 and again.headers["idempotency-replayed"] == "true"
    assert first.json["token"] and again.json["token"] is None
    assert dict(first.json, token=None) == again.json
    tokens = "/v1/principals/%s/tokens" % fleet.person(unique("dan")).name
    once = {"Idempotency-Key": unique("once")}
    first, again = (admin.request("POST", tokens, {}, headers=once) for _ in range(2))
    assert first.json["token"] and again.json["token"] is None and first.json["jti"] == again.json["jti"]

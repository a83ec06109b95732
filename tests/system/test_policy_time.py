# SPDX-License-Identifier: Apache-2.0
"""Policies that look at what was admitted lately, and keys that may be used at some hours only."""
import datetime
import json
from concurrent.futures import ThreadPoolExecutor

from conftest import b64, wait_for
from test_policy import ALL, person, put, refused, sign, tenant  # noqa: F401 (a fixture)
from test_stepup import enrol, step_up

USE = "forbid (principal, action in Aegis::Action::\"use\", resource is Aegis::Key) when { %s };\n"


def replayed(fleet, answers):
    """Each decision comes to the same from the log alone."""
    ids = {"evt_" + a.headers["x-request-id"].replace("-", "") for a in answers}

    def lines():
        done = fleet.run("audit", "replay", "--json")
        got = [json.loads(line) for line in done.stdout.splitlines()]
        return [line for line in got if line["event_id"] in ids]
    got = wait_for(lambda: len(lines()) == len(ids) and lines(), what="the events")
    assert {line["policy"] for line in got} == {"equal"}, got


def test_concurrent_requests_do_not_slip_through(fleet, tenant):
    """Of forty requests at the same time as many pass as the limit says, not one more."""
    fleet.key(tenant, "k")
    put(tenant, "base", ALL + "@id(\"day\") @reason(\"5 a day\") " + USE % "context.recent.day > 5")
    clients = [fleet.client(tenant.token) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        ends = [e for pair in pool.map(lambda c: [sign(c, "k"), sign(c, "k")], clients) for e in pair]
    for client in clients:
        client.close()
    assert sorted(e.status for e in ends) == [200] * 5 + [403] * 35
    no = [e for e in ends if e.status == 403]
    refused(no[0], "no_matching_rule", "base/day")
    assert "5 a day" in no[0].json["detail"]
    # Another key, another person: counted by themselves.
    fleet.key(tenant, "other")
    assert sign(tenant, "other").status == 200
    alice = person(fleet, tenant, "alice", ["key-user"])
    assert sign(alice, "k").status == 200
    # What would be is what is; asking does not count.
    ask = {"action": "key.sign", "resource": "k"}
    for _ in range(3):
        assert tenant.ok("POST", "/v1/authz/check", ask)["rule"] == "base/day"
        assert tenant.ok("POST", "/v1/authz/check", dict(ask, principal="alice"))["allowed"] is True
    why = tenant.ok("POST", "/v1/authz/explain", ask)["attributes"]
    assert why["context.recent.day"] == "6" and why["context.recent.keys_hour"] == "2"
    replayed(fleet, ends)


def test_constraints(fleet, tenant):
    """What is too large, or too many at once, is refused for that reason; what ended is not under way any more."""
    fleet.key(tenant, "k")
    put(tenant, "base", "@timeout(\"9s\") " + ALL +
        "@id(\"small\") @constraint(\"bytes\") " + USE % "context.bytes > 1024" +
        "@id(\"few\") @constraint(\"concurrency\") " + USE % "context.under_way > 3")
    ends = [sign(tenant, "k") for _ in range(30)]  # one after the other
    assert [e.status for e in ends] == [200] * 30
    clients = [fleet.client(tenant.token) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        at_once = [e for pair in pool.map(lambda c: [sign(c, "k"), sign(c, "k")], clients) for e in pair]
    for client in clients:
        client.close()
    assert {e.status for e in at_once} <= {200, 403} and sum(e.status == 200 for e in at_once) >= 3
    for no in at_once:
        if no.status == 403:
            refused(no, "constraint_concurrency", "base/few")
    large = tenant.post("/v1/keys/k/sign", {"message_b64": b64(b"x" * 1025)})
    refused(large, "constraint_bytes", "base/small")
    assert tenant.post("/v1/keys/k/sign", {"message_b64": b64(b"x" * 900)}).status == 200
    ask = {"action": "key.sign", "resource": "k"}
    no = tenant.ok("POST", "/v1/authz/check", dict(ask, context={"under_way": 4}))
    assert (no["rule"], no["reason_code"]) == ("base/few", "constraint_concurrency")
    yes = tenant.ok("POST", "/v1/authz/check", ask)
    assert (yes["allowed"], yes["timeout_ms"]) == (True, 9000)
    assert tenant.ok("POST", "/v1/authz/explain", ask)["attributes"]["context.under_way"] == "1"
    replayed(fleet, ends[:3] + [large])


def test_two_windows_and_a_restart(fresh_fleet):
    f = fresh_fleet()
    boss = f.admin()
    f.key(boss, "k")
    f.key(boss, "second")
    put(boss, "base", ALL + USE % "context.recent.second > 1 || context.recent.day > 4 || context.recent.keys_hour > 1")
    assert [sign(boss, "k").status for _ in range(2)] == [200, 403]
    for want in (200, 200):
        f.move_clock(2)
        wait_for(lambda: sign(boss, "k").status == want, what="the second to pass")
    refused(sign(boss, "second"), "no_matching_rule", "base/1")
    f.stop()
    f.start()
    boss = f.admin()
    f.move_clock(2)
    wait_for(lambda: sign(boss, "k").status == 200, what="the fourth of today")
    f.move_clock(2)
    assert sign(boss, "k").status == 403
    assert sign(boss, "second").status == 403


def test_not_unless_stepped_up_lately(fleet, tenant):
    """A code counts for fifteen minutes: no new one is asked for until then."""
    alice = person(fleet, tenant, "alice", ["key-user"])
    fleet.key(tenant, "vault")
    lately = "context has since_step_up && context.since_step_up <= duration(\"15m\")"
    put(tenant, "base", "@step_up(\"totp\") permit (principal, action, resource) unless { %s };\n"
        "permit (principal, action, resource) when { %s };" % (lately, lately))
    device = enrol(fleet, alice, "alice")
    # The clock is moved for iam as well, not for the plane alone.
    at = lambda: int(tenant.ok("POST", "/v1/authz/explain", {"action": "key.list"})["attributes"]["context.at"])
    wait_for(lambda: abs(at() / 1000 - fleet.now()) < 5, what="iam to see the time")
    asked = sign(alice, "vault")
    assert (asked.status, asked.code) == (401, "StepUpRequired"), asked
    header = step_up(asked.json["challenge_id"], device.code())
    first = alice.post("/v1/keys/vault/sign", {"message_b64": "eA=="}, headers=header)
    assert first.status == 200, first
    again = sign(alice, "vault")
    assert again.status == 200, again
    assert tenant.ok("POST", "/v1/authz/check", {"principal": "alice", "action": "key.sign", "resource": "vault",
                                                 "context": {"since_step_up_s": 901}})["decision"] == "step_up"
    fleet.move_clock(901)
    wait_for(lambda: sign(alice, "vault").status == 401, what="fifteen minutes to pass")
    replayed(fleet, [first, again])


# ------------------------------------------------------------- allowed_windows

def test_keys_have_hours(fleet, tenant):
    """P08: outside its windows a key is not used, whoever asks; that is read, and changed, at any time."""
    def around(hours):
        at = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).hour
        return "daily %02d:00-%02d:00" % (at, (at + 2) % 24)
    fleet.key(tenant, "k", labels={"allowed_windows": around(6)})
    no = sign(tenant, "k")
    assert (no.status, no.code, no.json["rule"]) == (403, "OutsideAllowedWindow", "allowed_windows"), no
    assert around(6) in no.json["detail"]
    check = tenant.ok("POST", "/v1/authz/check", {"action": "key.sign", "resource": "k"})
    assert (check["allowed"], check["reason_code"]) == (False, "outside_allowed_window")
    [event] = fleet.event_of(tenant, no)
    assert (event["outcome"], event["code"]) == ("denied", "OutsideAllowedWindow")
    assert tenant.get("/v1/keys/k").status == 200
    tenant.ok("PATCH", "/v1/keys/k", {"labels": {"allowed_windows": around(6) + ", daily 00:00-24:00"}})
    assert sign(tenant, "k").status == 200
    tenant.ok("PATCH", "/v1/keys/k", {"labels": {"allowed_windows": "daily 00:00-24:00 America/New_York"}})
    assert sign(tenant, "k").status == 200
    for label, said in (("mon-fri", "days and times"), ("mon-fri 9-17", "is no time"), ("week 08:00-17:00", "are no days"),
                        ("daily 08:00-17:00 Middle/Earth", "is no time zone")):
        bad = tenant.request("PATCH", "/v1/keys/k", {"labels": {"allowed_windows": label}})
        assert (bad.status, bad.code, bad.json["field"]) == (400, "InvalidField", "/labels/allowed_windows"), bad
        assert said in bad.json["detail"], bad
    tenant.ok("PATCH", "/v1/keys/k", {"labels": {"allowed_windows": None}})
    assert sign(tenant, "k").status == 200


def test_what_is_issued_lives_no_longer(fleet, tenant):
    """@max_ttl: an agent and a token live at most as long as the shortest permit that matched says; and none other is bad."""
    fleet.key(tenant, "k")
    put(tenant, "base", ALL + "@id(\"tokens\") @max_ttl(\"2h\") permit (principal, action == "
        "Aegis::Action::\"principal.issue\", resource);\n"
        "@id(\"agents\") @max_ttl(\"15m\") permit (principal, action in Aegis::Action::\"manage\", resource);\n")

    def lives(got):
        assert got.status == 201, got
        begin, end = (datetime.datetime.fromisoformat(got.json[at].replace("Z", "+00:00"))
                      for at in ("issued_at", "expires_at"))
        return (end - begin).total_seconds()

    ask = {"label": "brief", "scopes": ["key:k:sign"]}
    long = tenant.post("/v1/agents/issue", dict(ask, ttl_s=3600))
    assert lives(long) == 900 and lives(tenant.post("/v1/agents/issue", ask)) == 900
    assert lives(tenant.post("/v1/agents/issue", dict(ask, ttl_s=60))) == 60
    (event,) = fleet.event_of(tenant, long)
    assert event["params"]["max_ttl_rule"] == "base/agents"
    person(fleet, tenant, "short-lived", ["key-user"])
    assert lives(tenant.post("/v1/principals/short-lived/tokens", {"ttl_s": 86400})) == 900
    check = tenant.ok("POST", "/v1/authz/check", {"action": "agent.issue"})
    assert (check["allowed"], check["max_ttl_s"]) == (True, 900)
    # The agent ends with it.
    fleet.move_clock(901)
    client = fleet.client(long.json["token"])
    wait_for(lambda: client.get("/v1/whoami").status == 401, what="the agent's end")
    assert client.get("/v1/whoami").json["reason_code"] == "token_expired"
    bad = tenant.post("/v1/policy-tools/validate", {"text": "@max_ttl(\"15m\") permit (principal, action == "
                                                            "Aegis::Action::\"key.sign\", resource);"})
    assert "not about agent.issue" in json.dumps(bad.json), bad

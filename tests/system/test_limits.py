# SPDX-License-Identifier: Apache-2.0
"""Rates by rule: over every dimension on a real fleet, while a role lasts, and read again while it runs."""
import http.client
import os
import signal
import time

from conftest import HIGH, b64, wait_for

SIGN = {"message_b64": b64(b"hello")}
PLAIN = {"address": HIGH, "principal": HIGH, "key": HIGH}


def sign(client, key):
    return client.post("/v1/keys/%s/sign" % key, SIGN)


def allowed(client, key, tries=30):
    answers = [sign(client, key) for _ in range(tries)]
    assert {a.status for a in answers} <= {200, 429}
    for a in answers:
        if a.status == 429:
            assert a.code == "RateLimited" and int(a.headers["retry-after"]) > 0
    return sum(a.status == 200 for a in answers)


def test_a_role_limits_while_it_lasts(fresh_fleet, unique):
    fleet = fresh_fleet({"limits": dict(PLAIN, rules=[{"role": "key-user", "operation": "key.sign", "rate": 7,
                                                       "window_s": 3600}])})
    admin = fleet.admin()
    key = unique("k")
    fleet.key(admin, key)
    free, bound = fleet.person(unique("free"), ["key-admin"]), fleet.person(unique("bound"), ["key-admin"])
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fleet.now() + 1000))
    admin.ok("PUT", "/v1/principals/%s/roles/key-user" % bound.name, {"valid_until": until})
    assert (allowed(free, key), allowed(bound, key)) == (30, 7)
    shown = sign(bound, key)
    assert shown.headers["ratelimit-policy"] == '"rule-1";q=7;w=3600' and shown.reason == "principal"
    assert shown.headers["ratelimit"].startswith('"rule-1";r=0;')
    fleet.move_clock(1001)
    wait_for(lambda: sign(bound, key).status == 200, what="the role's end")
    assert allowed(bound, key) == 30


def test_the_file_is_read_again(fresh_fleet, unique):
    rules = [{"kind": "agent", "rate": 5, "window_s": 3600}]
    fleet = fresh_fleet({"limits": dict(PLAIN, rules=rules)})
    admin = fleet.admin()
    key = unique("k")
    fleet.key(admin, key)
    agent = fleet.agent(admin, ["key:%s:sign" % key])
    assert allowed(agent, key) == 5

    def change(new):
        fleet.configure({"limits": dict(PLAIN, **new)})
        seen = open(fleet.log).read().count("LIMITS-READ")
        os.kill(fleet.process.pid, signal.SIGUSR1)
        wait_for(lambda: open(fleet.log).read().count("LIMITS-READ") > seen, what="the file to be read")
    change({"rules": [{"kind": "agent", "rate": 9, "window_s": 3600},
                      {"kind": "agent", "resource": key, "rate": 12, "window_s": 3600}], "combine": "most_specific"})
    assert allowed(agent, key) == 12
    # What the file says now holds for an iam that is started anew, too.
    pid = fleet.processes()["iam"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: fleet.processes().get("iam", 0) not in (0, pid), 30, 0.1, "iam")
    wait_for(lambda: sign(agent, key).status == 200, 30, what="iam to answer")
    assert allowed(agent, key) == 11
    # A file that is wrong changes nothing.
    fleet.configure("limits: {rules: [{kind: nobody, rate: 1}]}\n")
    os.kill(fleet.process.pid, signal.SIGUSR1)
    wait_for(lambda: "LEVEL-UNREAD" in open(fleet.log).read(), what="the complaint")
    assert sign(agent, key).status == 429
    change({})
    assert allowed(agent, key) == 30


def test_wrong_credentials_are_few_by_default(fresh_fleet):
    """limits.authentication has a bound without being set; who has a good credential goes on."""
    fleet = fresh_fleet({"limits": PLAIN})
    good, bad = fleet.admin(), fleet.client("not.a.token")
    assert good.get("/v1/whoami").status == 200
    answers = [bad.get("/v1/whoami") for _ in range(700)]
    assert [a.status for a in answers] == [401] * 600 + [429] * 100
    assert answers[-1].reason == "address" and good.get("/v1/whoami").status == 200


def test_a_flood_is_not_read(fresh_fleet):
    """Who goes on over its address's limit is answered 64 times in a row, then five times a second; others are not
    kept waiting, and it is heard again when there is room."""
    fleet = fresh_fleet({"limits": dict(PLAIN, address={"rate": 20, "window_s": 2})})
    flood, took = fleet.client("not.a.token"), []
    for _ in range(20 + 64 + 10):
        begin = time.monotonic()
        status = flood.get("/v1/whoami").status
        took.append((status, time.monotonic() - begin))
    limited = [seconds for status, seconds in took if status == 429]
    assert len(limited) >= 64 and sum(s >= 0.1 for s in limited) >= len(limited) - 64 - 5
    assert sum(limited[64:]) >= 0.1 * (len(limited) - 64)
    other = http.client.HTTPConnection(flood.host, flood.port, timeout=10, source_address=("127.0.0.2", 0))
    other.request("GET", "/v1/whoami", headers={"Authorization": "Bearer " + fleet.token()})
    assert other.getresponse().status == 200
    wait_for(lambda: flood.get("/v1/whoami").status == 401, 20, what="room again")

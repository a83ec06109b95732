# SPDX-License-Identifier: Apache-2.0
"""Breaking the glass, and more scope for a while: who may, what it overrides,
and that both end by themselves."""
import calendar
import os
import signal
import time

import pytest

from conftest import CONFIG, Fleet, b64, wait_for
from test_approvals import LEADS
from test_stepup import enrol, next_step, refused, step_up, text_of

POLICY = """permit (principal, action, resource);
@id("soft") @overridable @reason("payroll is closed")
forbid (principal, action == Aegis::Action::"key.sign", resource) when { resource is Aegis::Key && resource.hasTag("soft") };
@id("hard")
forbid (principal, action == Aegis::Action::"key.sign", resource) when { resource is Aegis::Key && resource.hasTag("hard") };
@id("asks") @overridable @approval("leads")
permit (principal, action == Aegis::Action::"key.mac", resource);
@id("asks-hard") @approval("leads")
permit (principal, action == Aegis::Action::"key.encrypt", resource);
"""
SIGN = {"message_b64": b64(b"x")}
WHY = "the payroll run fails, see INC-4711"
GRANTS = {"rules": [{"scope": "key:label=env=test:*", "group": "leads", "ttl_max_s": 1800}]}


@pytest.fixture(scope="module")
def house():
    fleet = Fleet(config=dict(CONFIG, grants=GRANTS, break_glass={"cooldown_s": 600, "user_quota": 3, "key_quota": 5,
                                                                 "reasons": ["incident", "security"]}))
    try:
        fleet.start()
        admin = fleet.root = fleet.admin()
        admin.ok("PUT", "/v1/roles/leads", LEADS)
        admin.ok("PUT", "/v1/roles/on-call", {"scopes": ["system:*:break-glass", "key:*:sign", "key:*:mac", "key:*:encrypt",
                                                         "agent:*:issue", "principal:*:issue"]})
        fleet.devices = {}
        for name, roles in (("alice", ("leads",)), ("olga", ("on-call",)), ("omar", ("on-call",)), ("ole", ("on-call",))):
            setattr(fleet, name, fleet.person(name, roles=roles))
            fleet.devices[name] = enrol(fleet, getattr(fleet, name), name)
        fleet.key(admin, "soft", labels={"soft": "1"})
        fleet.key(admin, "both", labels={"soft": "1", "hard": "1"})
        fleet.key(admin, "other", labels={"soft": "1"})
        fleet.key(admin, "macs", spec="HMAC_SHA256")
        fleet.key(admin, "box", spec="AES_256")
        fleet.key(admin, "toy", spec="AES_256", labels={"env": "test"})
        fleet.key(admin, "real", spec="AES_256", labels={"env": "live"})
        admin.ok("PUT", "/v1/policies/base", {"text": POLICY})
        yield fleet
    finally:
        fleet.leave()


def coded(house, name, method, path, body, headers=None):
    """With the second factor, if it wants one."""
    who = getattr(house, name)
    got = who.request(method, path, body, headers=headers)
    if got.status == 401 and got.code == "StepUpRequired":
        next_step(house)
        got = who.request(method, path, body, headers=dict(headers or {}, **step_up(got.json["challenge_id"],
                                                                                    house.devices[name].code())))
    return got


def break_glass(house, name, key, **more):
    return coded(house, name, "POST", "/v1/break-glass",
                 dict({"key": key, "reason_code": "incident", "justification": WHY}, **more))


def under(brk):
    return {"Aegis-Break-Glass": brk}


def sign(house, name, key, brk=None):
    return getattr(house, name).post("/v1/keys/%s/sign" % key, SIGN, headers=under(brk) if brk else {})


def close(house, name, brk):
    return getattr(house, name).post("/v1/break-glass/%s/close" % brk, {"reason": "it is over"})


def rested(house):
    """Past every cool-down and quota."""
    house.move_clock(86400 + 601)
    day = text_of(house.now() - 3600)

    def fresh(name):
        made = house.root.ok("POST", "/v1/principals/%s/tokens" % name, {})
        return made["token"] if made["issued_at"] > day else None  # by the clock as it is now
    for name in ("alice", "olga", "omar", "ole"):  # twelve hours are over, for their tokens, too
        getattr(house, name).token = wait_for(lambda: fresh(name), what="the clock to be moved")


# ---------------------------------------------------------------- V11, V12, V16

def test_it_overrides_what_says_so(house):
    refused(sign(house, "olga", "soft"), 403, "PermissionDenied", "no_matching_rule")
    refused(house.olga.post("/v1/break-glass", {"key": "soft", "reason_code": "incident", "justification": WHY}),
            401, "StepUpRequired", None)
    made = break_glass(house, "olga", "soft", ttl_s=600)
    assert made.status == 201 and made.headers["location"] == "/v1/break-glass/" + made.json["id"], made
    brk = made.json["id"]
    assert made.json["state"] == "active" and made.json["resource"]["alias"] == "soft" and "tenant" not in made.json
    opened, = house.event_of(house.root, made)
    assert opened["operation"] == "break-glass.open" and opened["params"]["level"] == "verbose"
    assert opened["params"]["break_glass_id"] == brk and opened["params"]["reason_code"] == "incident"
    done = sign(house, "olga", "soft", brk)
    assert done.status == 200, done
    event, = house.event_of(house.root, done)
    assert event["params"]["break_glass_id"] == brk and event["params"]["level"] == "verbose"
    # Only by saying so, only for this key, only by this person, and never what is not overridable.
    refused(sign(house, "olga", "soft"), 403, "PermissionDenied", "no_matching_rule")
    refused(sign(house, "olga", "other", brk), 403, "PermissionDenied", "break_glass_other")
    refused(sign(house, "omar", "soft", brk), 403, "PermissionDenied", "break_glass_over")
    refused(sign(house, "olga", "soft", "brk_%032x" % 1), 403, "PermissionDenied", "break_glass_over")
    refused(sign(house, "olga", "soft", "brk_1"), 400, "InvalidField", "wrong_type")
    agent = house.agent(house.olga, ["key:soft:sign"])
    refused(agent.post("/v1/keys/soft/sign", SIGN, headers=under(brk)), 403, "PermissionDenied", "not_for_agents")
    # Nor by a credential that could not open it.
    narrow = house.client(house.root.ok("POST", "/v1/principals/olga/tokens", {"scopes": ["key:soft:sign"]})["token"])
    refused(narrow.post("/v1/keys/soft/sign", SIGN, headers=under(brk)), 403, "PermissionDenied", "break_glass_over")
    refused(break_glass(house, "olga", "other"), 409, "Conflict", None)  # another key is another glass
    # Closed: over with the next request, and it needs a reason.
    refused(house.olga.post("/v1/break-glass/%s/close" % brk, {"reason": ""}), 400, "InvalidField", "out_of_range")
    assert house.omar.get("/v1/break-glass/" + brk).status == 404
    ended = close(house, "olga", brk)
    assert ended.status == 200 and ended.json["state"] == "closed" and ended.json["close_reason"] == "it is over"
    refused(sign(house, "olga", "soft", brk), 403, "PermissionDenied", "break_glass_over")
    refused(close(house, "olga", brk), 409, "IllegalOperation", "transition")
    event, = house.event_of(house.root, ended)
    assert (event["params"]["before"], event["params"]["after"]) == ("active", "closed")
    rested(house)


def test_hard_rules_stay(house):
    made = break_glass(house, "olga", "both")
    assert made.status == 201, made
    refused(sign(house, "olga", "both", made.json["id"]), 403, "PermissionDenied", "no_matching_rule")
    assert close(house, "olga", made.json["id"]).status == 200
    # An approval that may be overridden is; one that may not is not.
    made = break_glass(house, "omar", "macs")
    mac = {"message_b64": b64(b"x")}
    refused(house.omar.post("/v1/keys/macs/mac", mac), 403, "ApprovalRequired", "pending")
    assert house.omar.post("/v1/keys/macs/mac", mac, headers=under(made.json["id"])).status == 200
    assert close(house, "omar", made.json["id"]).status == 200
    rested(house)
    made = break_glass(house, "omar", "box")
    refused(house.omar.post("/v1/keys/box/encrypt", {"plaintext_b64": b64(b"x")}, headers=under(made.json["id"])), 403,
            "ApprovalRequired", "pending")
    assert close(house, "omar", made.json["id"]).status == 200
    rested(house)


def test_it_ends_by_itself(house):
    made = break_glass(house, "olga", "soft", ttl_s=600)
    brk = made.json["id"]
    assert sign(house, "olga", "soft", brk).status == 200
    house.move_clock(601)
    wait_for(lambda: sign(house, "olga", "soft", brk).status == 403, what="it to be over")
    wait_for(lambda: house.olga.ok("GET", "/v1/break-glass/" + brk)["state"] == "expired", what="it to be said")
    events = [e for e in house.events(house.root, "operation=break-glass.expire")
              if e["params"]["break_glass_id"] == brk]
    assert len(events) == 1 and events[0]["params"]["after"] == "expired"
    rested(house)


# ------------------------------------------------------------------------- V13

def issue(house, name, brk, **ask):
    return getattr(house, name).post("/v1/principals/%s/tokens" % name, dict({"scopes": ["key:soft:sign"]}, **ask),
                                     headers=under(brk))


def seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def test_a_token_lives_no_longer_than_the_glass(house):
    """Issued when three minutes are left it ends with them; it is for that key, and under the glass without saying so."""
    opened = break_glass(house, "olga", "soft", ttl_s=600)
    assert opened.status == 201, opened
    brk = opened.json["id"]
    house.move_clock(420)
    made = wait_for(lambda: (lambda got: got if seconds(got.json["expires_at"]) - seconds(got.json["issued_at"]) <= 180
                             else None)(issue(house, "olga", brk, ttl_s=3600)), what="the clock to be moved")
    assert made.status == 201, made
    until = house.olga.ok("GET", "/v1/break-glass/" + brk)["expires_at"]
    assert seconds(made.json["issued_at"]) + 60 < seconds(made.json["expires_at"]) <= seconds(until)
    token = house.client(made.json["token"])
    done = token.post("/v1/keys/soft/sign", SIGN)
    assert done.status == 200, done
    event, = house.event_of(house.root, done)
    assert event["params"]["break_glass_id"] == brk and event["params"]["level"] == "verbose"
    assert [t["break_glass"] for t in house.root.items("/v1/principals/olga/tokens") if t["jti"] == made.json["jti"]] == [brk]
    # For nothing else, and no way to more.
    refused(token.post("/v1/keys/other/sign", SIGN), 403, "PermissionDenied", "scope_missing")
    refused(token.post("/v1/principals/olga/tokens", {"scopes": ["key:soft:sign"]}), 403, "PermissionDenied", "scope_missing")
    for ask, field in (({"scopes": ["key:other:sign"]}, "/scopes/0"), ({"scopes": ["key:*:sign"]}, "/scopes/0"),
                       ({"scopes": ["key:soft:sign", "agent:*:issue"]}, "/scopes/1")):
        got = issue(house, "olga", brk, **ask)
        refused(got, 400, "InvalidField", "bad_scope")
        assert got.json["field"] == field
    refused(issue(house, "olga", brk, scopes=[]), 400, "InvalidField", "out_of_range")
    # Neither by another person nor for one.
    refused(issue(house, "omar", brk), 403, "PermissionDenied", "break_glass_over")
    refused(house.olga.post("/v1/principals/omar/tokens", {"scopes": ["key:soft:sign"]}, headers=under(brk)), 403,
            "PermissionDenied", "break_glass_other")
    house.move_clock(181)
    wait_for(lambda: token.post("/v1/keys/soft/sign", SIGN).status == 401, what="its end")
    refused(issue(house, "olga", brk), 403, "PermissionDenied", "break_glass_over")
    wait_for(lambda: house.olga.ok("GET", "/v1/break-glass/" + brk)["state"] == "expired", what="it to be said")
    rested(house)


def test_closing_ends_its_tokens(house):
    """With the next request; a restart remembers; the person's other tokens stay."""
    opened = break_glass(house, "olga", "soft", ttl_s=600)
    assert opened.status == 201, opened
    brk = opened.json["id"]
    made = issue(house, "olga", brk)
    token = house.client(made.json["token"])
    assert token.post("/v1/keys/soft/sign", SIGN).status == 200
    assert close(house, "olga", brk).status == 200
    refused(token.post("/v1/keys/soft/sign", SIGN), 401, "Unauthenticated", "token_revoked")
    refused(issue(house, "olga", brk), 403, "PermissionDenied", "break_glass_over")
    assert house.olga.get("/v1/whoami").status == 200
    pid = house.processes()["iam"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: house.processes()["iam"] not in (0, pid), 30, what="iam")
    wait_for(lambda: house.olga.get("/v1/whoami").status == 200, 30, 0.2, "iam")
    refused(token.post("/v1/keys/soft/sign", SIGN), 401, "Unauthenticated", "token_revoked")
    rested(house)


# --------------------------------------------------------------------- V14, V15

def test_each_bound_has_its_no(house):
    for more, status, reason in (({"reason_code": "boredom"}, 400, "unknown_value"),
                                 ({"reason_code": "recovery"}, 403, "reason_not_allowed"),
                                 ({"justification": "x" * 19}, 400, "out_of_range"),
                                 ({"justification": "x" * 1001}, 400, "out_of_range"),
                                 ({"ttl_s": 59}, 400, "out_of_range"), ({"ttl_s": 3601}, 400, "out_of_range")):
        got = break_glass(house, "olga", "soft", **more)
        assert (got.status, got.reason) == (status, reason), (more, got)
    assert break_glass(house, "olga", "nothing").status == 404
    refused(house.alice.post("/v1/break-glass", {"key": "soft", "reason_code": "incident", "justification": WHY}), 403,
            "PermissionDenied", "scope_missing")
    agent = house.agent(house.olga, ["key:soft:sign"])
    refused(agent.post("/v1/break-glass", {"key": "soft", "reason_code": "incident", "justification": WHY}), 403,
            "PermissionDenied", "not_for_agents")


def test_cool_down_and_quotas(house):
    last = None
    for n in range(3):
        made = wait_for(lambda: (lambda got: got if got.status == 201 else None)(break_glass(house, "ole", "soft")),
                        what="the cool-down to be over")
        assert made.json["escalated"] == (n == 2)
        assert close(house, "ole", made.json["id"]).status == 200
        last = break_glass(house, "ole", "soft")
        refused(last, 429, "RateLimited", "account")
        assert "cool-down" in last.json["detail"]
        house.move_clock(601)
    over = wait_for(lambda: (lambda got: got if "quota" in got.json["detail"] else None)(
        break_glass(house, "ole", "soft")), what="the cool-down to be over")
    refused(over, 429, "RateLimited", "account")
    assert "person" in over.json["detail"]
    rested(house)


def test_one_at_a_time(house):
    """For a person and a key there is one, whoever races."""
    house.stop()
    house.start()
    for name in ("alice", "olga", "omar", "ole"):
        setattr(house, name, house.client(getattr(house, name).token))
    house.root = house.admin()
    house.root.token = house.token()
    made = break_glass(house, "olga", "soft")
    assert made.status == 201, made
    again = break_glass(house, "olga", "soft")
    refused(again, 409, "Conflict", None)
    assert made.json["id"] in again.json["detail"]
    assert house.olga.items("/v1/break-glass?state=active")[0]["id"] == made.json["id"]
    # Who died in between takes nothing away and gives nothing.
    for name in ("iam", "approvals"):
        pid = house.processes()[name]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: house.processes()[name] not in (0, pid), 30, what=name)
    wait_for(lambda: sign(house, "olga", "soft", made.json["id"]).status == 200, 30, 0.2, "the fleet")
    refused(sign(house, "olga", "soft"), 403, "PermissionDenied", "no_matching_rule")
    wait_for(lambda: close(house, "olga", made.json["id"]).status == 200, 30, 0.2, "the approvals")
    refused(sign(house, "olga", "soft", made.json["id"]), 403, "PermissionDenied", "break_glass_over")


def test_without_a_policy_there_is_none(house):
    admin = house.root
    admin.ok("PUT", "/v1/policies/base", {"text": "permit (principal, action, resource);"})
    try:
        refused(house.ole.post("/v1/break-glass", {"key": "soft", "reason_code": "incident", "justification": WHY}), 403,
                "PermissionDenied", "nothing_overridable")
    finally:
        admin.ok("PUT", "/v1/policies/base", {"text": POLICY})


# -------------------------------------------------------------- grants for a while

def test_more_scope_for_a_while(house):
    boss = house.person("boss")
    agent = house.agent(boss, ["key:soft:sign"], "temp", ttl_s=86400)
    data = {"plaintext_b64": b64(b"x")}
    want = {"scopes": ["key:toy:encrypt"], "reason": "month end", "ttl_s": 600}
    refused(agent.post("/v1/grants", dict(want, scopes=["key:real:encrypt"])), 403, "PermissionDenied", "no_matching_rule")
    refused(agent.post("/v1/grants", dict(want, scopes=["key:*:encrypt"])), 400, "InvalidField", "bad_scope")
    refused(agent.post("/v1/grants", dict(want, ttl_s=1801)), 400, "InvalidField", "out_of_range")
    refused(agent.post("/v1/grants", dict(want, scopes=[])), 400, "InvalidField", "out_of_range")
    asked = agent.post("/v1/grants", want)
    refused(asked, 403, "ApprovalRequired", "pending")
    apr = asked.json["approval_id"]
    shown = house.alice.ok("GET", "/v1/approvals/" + apr)
    assert shown["operation"] == "grant.request" and shown["asked"] == {"scopes": "key:toy:encrypt", "ttl_s": "600"}
    assert shown["claims"]["reason"] == "month end"
    done = coded(house, "alice", "POST", "/v1/approvals/%s/approve" % apr, {})
    assert done.status == 200 and done.json["state"] == "approved", done
    made = agent.post("/v1/grants", want, headers={"Aegis-Approval": apr})
    assert made.status == 201 and made.json["scopes"] == ["key:toy:encrypt"] and made.json["approval_id"] == apr, made
    assert "key:toy:encrypt" in agent.ok("GET", "/v1/whoami")["scopes"]
    assert [g["id"] for g in agent.items("/v1/grants")] == [made.json["id"]]
    assert made.json["id"] in [g["id"] for g in house.alice.items("/v1/grants?principal=temp")]
    assert house.olga.items("/v1/grants") == []
    # The policy wants an approval of its own for this one; the scope is there.
    refused(agent.post("/v1/keys/toy/encrypt", data), 403, "ApprovalRequired", "pending")
    # Whoever dies, it counts until its time is over, and then no longer.
    pid = house.processes()["iam"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: house.processes()["iam"] not in (0, pid), 30, what="iam")
    wait_for(lambda: agent.get("/v1/whoami").status == 200, 30, 0.2, "iam")
    assert "key:toy:encrypt" in agent.ok("GET", "/v1/whoami")["scopes"]
    house.move_clock(601)
    wait_for(lambda: "key:toy:encrypt" not in agent.ok("GET", "/v1/whoami")["scopes"], what="its end")
    assert agent.items("/v1/grants") == []
    refused(agent.post("/v1/keys/toy/encrypt", data), 403, "PermissionDenied", "scope_missing")


def test_commands(house, tmp_path):
    token = str(tmp_path / "olga")
    with open(os.open(token, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
        out.write(house.olga.token)
    rested(house)
    with open(token, "w") as out:
        out.write(house.olga.token)
    next_step(house)
    done = house.run("break-glass", "open", "soft", "--reason-code", "incident", "--justification", WHY, "--ttl", "10m",
                     "--code-file", "-", token=token, stdin=house.devices["olga"].code(), check=0)
    brk = done.stdout.split()[0]
    house.run("key", "sign", "soft", "--out", str(tmp_path / "sig"), "--break-glass", brk, token=token, stdin="x", check=0)
    assert brk in house.run("break-glass", "list", "--state", "active", "--since", "7d", token=token, check=0).stdout
    assert WHY in house.run("break-glass", "show", brk, token=token, check=0).stdout
    house.run("break-glass", "close", brk, "--reason", "over", token=token, check=0)
    house.run("key", "sign", "soft", "--out", str(tmp_path / "sig"), "--break-glass", brk, token=token, stdin="x", check=5)
    house.run("grant", "request", "--scope", "key:toy:encrypt", "--reason", "test", token=token, check=5)
    house.run("grant", "list", token=token, check=0)

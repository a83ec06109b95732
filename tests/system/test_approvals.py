# SPDX-License-Identifier: Apache-2.0
"""What people must agree to, through the public sockets: who is asked, who may
say yes, and that a yes is good for one request, once, whatever races or dies."""
import base64
import concurrent.futures
import os
import signal

import pytest

from conftest import CONFIG, Fleet, b64, wait_for
from test_stepup import Authenticator, enrol, next_step, refused, step_up

LEADS = {"scopes": ["system:*:approve"]}
POLICY = """permit (principal, action, resource);
@id("payroll") @approval("payroll-leads")
permit (principal is Aegis::Agent, action == Aegis::Action::"key.decrypt", resource)
when { resource == Aegis::Key::"payroll" };
@id("two") @approval("payroll-leads, quorum 2")
permit (principal, action == Aegis::Action::"key.rotate", resource == Aegis::Key::"payroll");
@id("window") @approval("payroll-leads, window 10m")
permit (principal, action == Aegis::Action::"key.mac", resource);
"""


@pytest.fixture(scope="module")
def house():
    """A fleet with a policy, people who approve, and bob, whose agent wants to decrypt."""
    fleet = Fleet()
    try:
        fleet.start()
        admin = fleet.admin()
        admin.ok("PUT", "/v1/roles/payroll-leads", LEADS)
        fleet.devices = {}
        for name in ("alice", "dora", "erik"):
            who = fleet.person(name, roles=("payroll-leads",))
            setattr(fleet, name, who)
            fleet.devices[name] = enrol(fleet, who, name)
        fleet.bob = fleet.person("bob")
        fleet.zoe = fleet.person("zoe", roles=("key-user",))
        fleet.key(fleet.bob, "payroll", spec="AES_256")
        fleet.key(fleet.bob, "wages", spec="HMAC_SHA256")
        fleet.box = fleet.bob.ok("POST", "/v1/keys/payroll/encrypt", {"plaintext_b64": b64(b"salaries")})["ciphertext_b64"]
        admin.ok("PUT", "/v1/policies/payroll", {"text": POLICY})
        fleet.clerk = fleet.agent(fleet.bob, ["key:payroll:decrypt", "key:payroll:encrypt", "key:wages:mac"], "clerk",
                                  ttl_s=86400)
        fleet.root = admin
        yield fleet
    finally:
        fleet.leave()


def decrypt(house, who=None, approval=None, box=None, **headers):
    if approval:
        headers["Aegis-Approval"] = approval
    return (who or house.clerk).post("/v1/keys/payroll/decrypt", {"ciphertext_b64": box or house.box}, headers=headers)


def fresh_box(house, text):
    """Another ciphertext: another request, which nobody has decided on."""
    return house.bob.ok("POST", "/v1/keys/payroll/encrypt", {"plaintext_b64": b64(text)})["ciphertext_b64"]


def asked(got):
    refused(got, 403, "ApprovalRequired", "pending")
    assert got.json["approval_id"].startswith("apr_") and got.json["expires_at"].endswith("Z")
    return got.json["approval_id"]


def decide(house, name, approval, word="approve", body=None):
    """With the second factor that it wants."""
    who, path = getattr(house, name), "/v1/approvals/%s/%s" % (approval, word)
    got = who.post(path, body or {})
    if got.status == 401 and got.code == "StepUpRequired":
        next_step(house)
        got = who.post(path, body or {}, headers=step_up(got.json["challenge_id"], house.devices[name].code()))
    return got


def approve(house, name, approval):
    got = decide(house, name, approval)
    assert got.status == 200, got
    return got.json


def ends_stamped(got, event, who, word):
    """Answer and event say whose request it was, and whether people agreed, in one line that can be taken apart."""
    stamp = got.headers["aegis-provenance"]
    system, actor, how, request = stamp.split(":")
    kind, number = actor.split("_", 1)
    whole = [base64.urlsafe_b64decode(text + "==").hex() for text in (number, request)]
    return (event["params"]["provenance"] == stamp and len(stamp) <= 64 and (system, how) == ("sys", word)
            and kind + "_" + whole[0] == who and whole[1] == got.headers["x-request-id"].replace("-", ""))


# ------------------------------------------------------------ V03, V04: one yes, one use

def test_one_yes_is_one_use(house):
    first = decrypt(house, **{"Aegis-Reason": "month end \xe9"})
    apr = asked(first)
    assert first.json["rule"] == "payroll/payroll" and apr in first.json["hint"]
    # The same request again is the same question; another body is another.
    assert asked(decrypt(house)) == apr
    other = fresh_box(house, b"others")
    assert asked(decrypt(house, box=other)) != apr
    asked(decrypt(house, approval=apr))  # not yet
    shown = house.alice.ok("GET", "/v1/approvals/" + apr)
    assert shown["state"] == "pending" and shown["operation"] == "key.decrypt"
    assert shown["resource"]["alias"] == "payroll" and shown["requester"]["id"] == house.clerk.id
    assert [link["kind"] for link in shown["chain"]] == ["human", "agent"]
    assert shown["claims"]["reason"] == "month end ?" and shown["claims"]["label"] == "clerk"
    assert shown["needs"] == [{"group": "payroll-leads", "quorum": 1, "rule": "payroll/payroll", "window_s": None}]
    assert "match" not in shown and "tenant" not in shown
    # A second factor is needed to say yes.
    refused(house.alice.post("/v1/approvals/%s/approve" % apr, {}), 401, "StepUpRequired", None)
    done = decide(house, "alice", apr, body={"comment": "go on"})
    assert done.status == 200 and done.json["state"] == "approved" and done.json["decisions"][0]["comment"] == "go on"
    # Approved, but it must be said; and only for this request of this caller.
    refused(decrypt(house), 403, "ApprovalRequired", "approved")
    refused(decrypt(house, approval=apr, box=other), 403, "ApprovalRequired", "mismatch")
    twin = house.agent(house.bob, ["key:payroll:decrypt"], "twin")
    refused(decrypt(house, who=twin, approval=apr), 403, "ApprovalRequired", "unknown")
    got = decrypt(house, approval=apr)
    assert got.status == 200 and got.json["plaintext_b64"] == b64(b"salaries")
    refused(decrypt(house, approval=apr), 403, "ApprovalRequired", "used")
    event = house.event_of(house.root, got)
    assert len(event) == 1 and event[0]["params"]["approval"] == apr
    assert ends_stamped(got, event[0], house.clerk.id, "approval")
    assert "aegis-provenance" not in first.headers
    assert house.alice.ok("GET", "/v1/approvals/" + apr)["used"] == 1


def test_events_say_before_and_after(house):
    box = fresh_box(house, b"events")
    first = decrypt(house, box=box)
    apr = asked(first)
    event = house.event_of(house.root, first)
    assert len(event) == 1 and event[0]["outcome"] == "denied" and event[0]["code"] == "ApprovalRequired"
    assert event[0]["params"]["approval_id"] == apr and event[0]["params"]["after"] == "pending"
    said = decide(house, "dora", apr, "deny", {"comment": "not today"})
    assert said.status == 200 and said.json["state"] == "denied"
    event, = house.event_of(house.root, said)
    assert (event["operation"], event["params"]["before"], event["params"]["after"], event["params"]["auto"]) == (
        "approval.deny", "pending", "denied", "false")
    assert event["actor"]["name"] == "dora" and event["resource"]["id"] == apr
    # A no stands for a while, and for ever for this approval.
    refused(decrypt(house, box=box), 403, "ApprovalRequired", "denied")
    refused(decrypt(house, box=box, approval=apr), 403, "ApprovalRequired", "denied")
    refused(decide(house, "alice", apr), 409, "IllegalOperation", "transition")


# --------------------------------------------------------------- V03: who may decide

def test_who_may_not_decide(house):
    apr = asked(decrypt(house, box=fresh_box(house, b"who")))
    path = "/v1/approvals/%s/" % apr
    # An agent never; bob stands above it; zoe has no such scope; a stranger's tenant sees nothing.
    refused(house.clerk.post(path + "approve", {}), 403, "PermissionDenied", "not_for_agents")
    house.root.ok("PUT", "/v1/principals/bob/roles/payroll-leads", {})
    refused(house.bob.post(path + "deny", {}), 403, "PermissionDenied", "own_request")
    house.root.ok("DELETE", "/v1/principals/bob/roles/payroll-leads")
    refused(house.zoe.post(path + "deny", {}), 403, "PermissionDenied", "scope_missing")
    assert house.zoe.get("/v1/approvals/" + apr).status == 404
    # admin holds the scope, and is in no group that is asked; nor has it a second factor.
    refused(house.root.post(path + "deny", {}), 403, "PermissionDenied", "not_an_approver")
    refused(house.root.post(path + "approve", {}), 403, "PermissionDenied", "step_up_not_enrolled")
    assert house.alice.get("/v1/approvals/apr_%032x" % 7).status == 404
    # Who asked takes it back, and nobody else.
    refused(house.alice.post(path + "cancel", {}), 403, "PermissionDenied", "not_own_request")
    assert house.clerk.ok("POST", path + "cancel", {})["state"] == "cancelled"
    refused(house.clerk.post(path + "cancel", {}), 409, "IllegalOperation", "transition")
    refused(decide(house, "alice", apr), 409, "IllegalOperation", "transition")


def test_quorum_counts_people(house):
    def rotate(approval=None, key=None):
        headers = {}
        if approval:
            headers["Aegis-Approval"] = approval
        if key:
            headers["Idempotency-Key"] = key
        return house.bob.post("/v1/keys/payroll/rotate", {}, headers=headers)
    apr = asked(rotate())
    assert approve(house, "alice", apr)["state"] == "pending"
    refused(decide(house, "alice", apr), 409, "Conflict", None)
    asked(rotate(apr))
    assert approve(house, "dora", apr)["state"] == "approved"
    before = house.bob.ok("GET", "/v1/keys/payroll")["version"]
    first = rotate(apr, "again")
    assert first.status == 200 and first.json["version"] == before + 1
    # A repeat of the very request is the same request; a new one is not.
    repeat = rotate(apr, "again")
    assert repeat.status == 200 and repeat.headers["idempotency-replayed"] == "true"
    refused(rotate(apr), 403, "ApprovalRequired", "used")
    refused(rotate(apr, "other"), 403, "ApprovalRequired", "used")
    assert house.bob.ok("GET", "/v1/keys/payroll")["version"] == before + 1


def test_a_window_is_used_until_it_ends(house):
    def mac(approval=None):
        return house.clerk.post("/v1/keys/wages/mac", {"message_b64": b64(b"x")},
                                headers={"Aegis-Approval": approval} if approval else {})
    apr = asked(mac())
    approve(house, "erik", apr)
    assert [mac(apr).status for _ in range(3)] == [200, 200, 200]
    house.move_clock(601)
    wait_for(lambda: mac(apr).status == 403, what="the window to end")
    refused(mac(apr), 403, "ApprovalRequired", "expired")


# ------------------------------------------------------------------ V02: races and time

def test_of_many_decisions_one_ends_it(house):
    """A hundred at once, of people who each may: one wins, all others are told."""
    apr = asked(decrypt(house, box=fresh_box(house, b"race")))
    clients = [house.client(getattr(house, name).token) for name in ("alice", "dora", "erik") for _ in range(34)]
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        got = list(pool.map(lambda c: c.post("/v1/approvals/%s/deny" % apr, {}), clients))
    assert sorted(g.status for g in got)[:1] == [200] and [g.status for g in got].count(200) == 1, got
    assert {g.status for g in got} == {200, 409}
    assert len(house.alice.ok("GET", "/v1/approvals/" + apr)["decisions"]) == 1


def test_of_many_retries_one_goes_on(house):
    box = fresh_box(house, b"retries")
    clients = [house.client(house.clerk.token) for _ in range(16)]
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        ids = {asked(g) for g in pool.map(lambda c: decrypt(house, c, box=box), clients)}
        assert len(ids) == 1, "a flood is one question"
        apr = ids.pop()
        approve(house, "alice", apr)
        got = list(pool.map(lambda c: decrypt(house, c, apr, box), clients))
    assert [g.status for g in got].count(200) == 1, got
    for g in got:
        assert g.status == 200 or (g.code, g.reason) == ("ApprovalRequired", "used"), g


def test_nobody_decides_in_time(house):
    box = fresh_box(house, b"late")
    apr = asked(decrypt(house, box=box))
    house.move_clock(3601)
    wait_for(lambda: house.alice.ok("GET", "/v1/approvals/" + apr)["state"] == "expired", what="it to expire")
    events = [e for e in house.events(house.root, "operation=approval.expire") if e["resource"]["id"] == apr]
    assert len(events) == 1 and events[0]["params"]["auto"] == "true" and events[0]["params"]["before"] == "pending"
    refused(decide(house, "alice", apr), 409, "IllegalOperation", "transition")
    assert asked(decrypt(house, box=box)) != apr


def test_lists_show_ones_own(house):
    apr = asked(decrypt(house, box=fresh_box(house, b"list")))
    mine = house.clerk.items("/v1/approvals?state=pending&limit=2")
    assert apr in [a["id"] for a in mine] and all(a["requester"]["id"] == house.clerk.id for a in mine)
    assert apr in [a["id"] for a in house.alice.items("/v1/approvals?state=pending&resource=payroll")]
    assert house.alice.items("/v1/approvals?requester=nobody") == []
    assert house.zoe.items("/v1/approvals") == []
    refused(house.alice.get("/v1/approvals?state=maybe"), 400, "InvalidField", "unknown_value")
    refused(decrypt(house, approval="apr_1"), 400, "InvalidField", "wrong_type")
    house.clerk.ok("POST", "/v1/approvals/%s/cancel" % apr, {})


def test_kill_9_gives_nothing_back(house):
    """What was used stays used, and what waits still waits, whoever died in between."""
    box, more = fresh_box(house, b"crash"), fresh_box(house, b"crash 2")
    apr, waiting = asked(decrypt(house, box=box)), asked(decrypt(house, box=more))
    approve(house, "alice", apr)
    assert decrypt(house, approval=apr, box=box).status == 200
    for name in ("approvals", "journal"):
        pid = house.processes()[name]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: house.processes()[name] not in (0, pid), 30, what=name)

    # Each comes back in its time.
    def answered(**words):
        got = decrypt(house, **words)
        return got if got.status not in (503, 504) else None
    refused(wait_for(lambda: answered(approval=apr, box=box), 30, 0.2, "the fleet"), 403, "ApprovalRequired", "used")
    assert asked(wait_for(lambda: answered(box=more), 30, 0.2, "iam")) == waiting
    assert wait_for(lambda: decide(house, "dora", waiting).status == 200, 30, 0.2, "iam")
    assert wait_for(lambda: decrypt(house, approval=waiting, box=more).status == 200, 30, 0.2, "the keys")


def test_without_the_approvals_nothing_goes_past(house):
    box = fresh_box(house, b"away")
    pid = house.processes()["approvals"]
    os.kill(pid, signal.SIGSTOP)
    try:
        got = decrypt(house, box=box)
        assert got.status in (503, 504), got
        # What nobody must agree to goes on.
        assert house.clerk.post("/v1/keys/payroll/encrypt", {"plaintext_b64": b64(b"x")}).status == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: decrypt(house, box=box).status == 403, 20, what="it to be back")


# -------------------------------------------------------------- V18, floods, V03: commands

def test_dual_control(house):
    """Destroying what is labelled env=prod needs two people, whatever policies say."""
    house.key(house.bob, "ledger", labels={"env": "prod"}, activate=False)
    house.key(house.bob, "scratch", labels={"env": "test"}, activate=False)

    def destroy(name, approval=None):
        return house.bob.post("/v1/keys/%s/destroy" % name, {"reason": "old"},
                              headers={"Aegis-Approval": approval} if approval else {})
    assert destroy("scratch").status == 200
    for body in ({"labels": {"env": None}}, {"labels": {"env": "test"}}, {"labels": None}):
        asked(house.bob.request("PATCH", "/v1/keys/ledger", body))
    assert house.bob.request("PATCH", "/v1/keys/ledger", {"labels": {"team": "red"}}).status == 200
    first = destroy("ledger")
    apr = asked(first)
    assert first.json["rule"] == "dual-control"
    refused(house.bob.post("/v1/approvals/%s/deny" % apr, {}), 403, "PermissionDenied", "own_request")
    assert approve(house, "alice", apr)["state"] == "pending"
    refused(decide(house, "alice", apr), 409, "Conflict", None)
    assert approve(house, "dora", apr)["state"] == "approved"
    assert destroy("ledger", apr).status == 200
    assert house.bob.ok("GET", "/v1/keys/ledger")["destroy_at"] is not None


def test_floods_are_capped(house):
    agent = house.agent(house.bob, ["key:payroll:decrypt"], "flood")
    got = [decrypt(house, agent, box=fresh_box(house, b"%d" % n)) for n in range(22)]
    assert [g.status for g in got[:20]] == [403] * 20 and [g.status for g in got[20:]] == [429] * 2, got
    refused(got[20], 429, "RateLimited", "account")
    for g in got[:20]:
        house.bob.ok("POST", "/v1/approvals/%s/cancel" % g.json["approval_id"], {})
    assert asked(decrypt(house, agent, box=fresh_box(house, b"room")))


# ------------------------------------------------------------ V03: ahead of the request

def ahead(house, who=None, box=None, **over):
    return (who or house.clerk).post("/v1/approvals", dict({
        "operation": "key.decrypt", "resource": "payroll", "request": {"ciphertext_b64": box or house.box},
        "reason": "to\u202enight"}, **over))


def test_asked_ahead_is_good_for_that_request_once(house):
    box, other = fresh_box(house, b"ahead"), fresh_box(house, b"another")
    got = ahead(house, box=box)
    assert got.status == 201 and got.json["state"] == "pending", got
    apr, shown = got.json["id"], got.json
    assert shown["operation"] == "key.decrypt" and shown["resource"]["alias"] == "payroll"
    assert shown["requester"]["id"] == house.clerk.id and shown["claims"]["reason"] == "to???night"
    assert shown["needs"] == [{"group": "payroll-leads", "quorum": 1, "rule": "payroll/payroll", "window_s": None}]
    assert "match" not in shown and "tenant" not in shown and "behind" not in shown
    # The event says who is asked about what, as that of the request itself would.
    (event,) = house.event_of(house.root, got)
    assert (event["operation"], event["outcome"]) == ("approval.request", "allowed")
    assert event["resource"]["alias"] == "payroll"
    assert {k: event["params"][k] for k in ("approval_id", "operation", "after")} == {
        "approval_id": apr, "operation": "key.decrypt", "after": "pending"}
    # The same question, however it is asked; by the key's id, too.
    again = ahead(house, box=box, resource=shown["resource"]["id"])
    assert again.status == 201 and again.json["id"] == apr
    assert asked(decrypt(house, box=box)) == apr
    assert ahead(house, box=other).json["id"] != apr
    # Not yet; and not by who asked, nor the person above.
    asked(decrypt(house, approval=apr, box=box))
    refused(house.clerk.post("/v1/approvals/%s/approve" % apr, {}), 403, "PermissionDenied", "not_for_agents")
    refused(house.bob.post("/v1/approvals/%s/deny" % apr, {}), 403, "PermissionDenied", "own_request")
    assert approve(house, "alice", apr)["state"] == "approved"
    assert ahead(house, box=box).json["state"] == "approved"
    # Good for that operation, key and body, of that caller: once.
    refused(decrypt(house, approval=apr, box=other), 403, "ApprovalRequired", "mismatch")
    twin = house.agent(house.bob, ["key:payroll:decrypt"], "ahead-twin")
    refused(decrypt(house, who=twin, approval=apr, box=box), 403, "ApprovalRequired", "unknown")
    refused(house.clerk.post("/v1/keys/wages/mac", {"message_b64": b64(b"x")}, headers={"Aegis-Approval": apr}), 403,
            "ApprovalRequired", "mismatch")
    got = decrypt(house, approval=apr, box=box)
    assert got.status == 200 and got.json["plaintext_b64"] == b64(b"ahead")
    refused(decrypt(house, approval=apr, box=box), 403, "ApprovalRequired", "used")
    # A no is a no, ahead as well.
    apr = ahead(house, box=other).json["id"]
    assert decide(house, "dora", apr, "deny").status == 200
    refused(ahead(house, box=other), 403, "ApprovalRequired", "denied")


def test_asking_ahead_is_refused_as_the_request_would_be(house):
    stranger = house.agent(house.bob, ["key:wages:mac"], "stranger")
    refused(ahead(house, stranger), 403, "PermissionDenied", "scope_missing")
    refused(ahead(house, resource="no-such-key"), 403, "PermissionDenied", "scope_missing")
    refused(ahead(house, operation="key.encrypt", request={"plaintext_b64": b64(b"x")}), 409, "IllegalOperation",
            "no_approval_needed")
    for field, over in (("/operation", {"operation": "key.sing"}), ("/operation", {"operation": "approval.approve",
                                                                                   "request": {}}),
                        ("/request/ciphertext_b64", {"request": {}}), ("/request", {"request": []}),
                        ("/resource", {"resource": None}), ("/resource", {"resource": "pay\nroll"}),
                        ("/reason", {"reason": ""}), ("/requester", {"requester": house.bob.id})):
        got = ahead(house, **over)
        assert (got.status, got.code, got.json["field"]) == (400, "InvalidField", field), (over, got)
    # A patch is the same patch, ahead or not: what takes the label away is what people agree to.
    house.key(house.bob, "shelf", labels={"env": "prod"}, activate=False)
    patch = {"labels": None}
    got = ahead(house, house.bob, operation="key.update", resource="shelf", request=patch)
    assert got.status == 201 and got.json["needs"][0]["rule"] == "dual-control", got
    assert asked(house.bob.request("PATCH", "/v1/keys/shelf", patch)) == got.json["id"]


def test_commands(house, tmp_path):
    def save(name, who):
        path = str(tmp_path / name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
            out.write(who.token)
        return path
    clerk, alice = save("clerk", house.clerk), save("alice", house.alice)
    sealed, out = str(tmp_path / "sealed"), str(tmp_path / "open")
    with open(sealed, "wb") as f:
        import base64
        f.write(base64.b64decode(fresh_box(house, b"by command")))
    words = ("key", "decrypt", "payroll", "--in", sealed, "--out", out)
    no = house.run(*words, "--why", "quarter end", token=clerk, check=5)
    apr = [word for word in no.stderr.replace(":", " ").split() if word.startswith("apr_")][0]
    listed = house.run("approval", "list", "--state", "pending", "--since", "1h", token=alice, check=0).stdout
    assert apr in listed and "key.decrypt" in listed and "payroll" in listed
    shown = house.run("approval", "show", apr, token=alice, check=0).stdout
    facts, _, rest = shown.partition("---- the requester says (nobody has checked it) ----\n")
    assert "quarter end" not in facts and "| reason: quarter end\n" in rest and "1 of payroll-leads" in facts
    next_step(house)
    done = house.run("approval", "approve", apr, "--comment", "fine", "--code-file", "-", token=alice,
                     stdin=house.devices["alice"].code() + "\n", check=0)
    assert "approved" in done.stdout
    house.run(*words, "--approval", apr, token=clerk, check=0)
    assert open(out, "rb").read() == b"by command"
    house.run(*words, "--approval", apr, token=clerk, check=5)
    house.run("approval", "cancel", apr, token=clerk, check=6)
    house.run("approval", "show", "apr_1", token=alice, check=4)
    # Ahead of it: ask, look, and have it once.
    box = fresh_box(house, b"by command, ahead")
    body = tmp_path / "request.json"
    body.write_text('{"ciphertext_b64": "%s"}' % box)
    with open(sealed, "wb") as f:
        f.write(base64.b64decode(box))
    told = house.run("approval", "request", "key.decrypt", "--resource", "payroll", "--body", str(body), "--reason",
                     "tomorrow", token=clerk, check=0).stdout
    apr = told.split()[0]
    assert apr.startswith("apr_") and "pending" in told and "key.decrypt" in told
    assert "pending" in house.run("approval", "check", apr, token=clerk, check=1).stdout
    approve(house, "erik", apr)
    assert "approved" in house.run("approval", "check", apr, token=clerk, check=0).stdout
    house.run(*words, "--approval", apr, token=clerk, check=0)
    assert open(out, "rb").read() == b"by command, ahead"
    house.run("approval", "check", apr, "--quiet", token=clerk, check=1)
    house.run("approval", "check", "apr_1", token=clerk, check=4)
    body.write_text("[]")
    no = house.run("approval", "request", "key.decrypt", "--body", str(body), "--reason", "x", token=clerk, check=2)
    assert "a JSON object is wanted" in no.stderr


# ------------------------------------------------------------------ V05: a rule agrees

def test_a_rule_agrees_and_says_so(fresh_fleet):
    """approvals.auto: recorded as policy:<rule>; what is too long, or of no rule, is for people, and without any
    rule at all nothing is to be had."""
    fleet = fresh_fleet(dict(CONFIG, grants={"rules": [{"scope": "key:*:sign", "group": "leads", "ttl_max_s": 3600}]},
                             approvals={"auto": [{"name": "short", "operation": "grant.request", "group": "leads",
                                                  "kind": "human", "ttl_max_s": 600}]}))
    root = fleet.admin()
    root.ok("PUT", "/v1/roles/leads", {"scopes": ["system:*:approve"]})
    zoe = fleet.person("zoe", roles=("auditor",))
    fleet.key(root, "toy")
    want = {"scopes": ["key:toy:sign"], "reason": "a test", "ttl_s": 600}
    apr = asked(zoe.post("/v1/grants", want))
    done = wait_for(lambda: zoe.ok("GET", "/v1/approvals/" + apr)["state"] == "approved" and
                    zoe.ok("GET", "/v1/approvals/" + apr), what="the rule to agree")
    assert [(d["by"], d["decision"], d["groups"]) for d in done["decisions"]] == [("policy:short", "approved", ["leads"])]
    assert zoe.post("/v1/grants", want, headers={"Aegis-Approval": apr}).status == 201
    assert zoe.post("/v1/keys/toy/sign", {"message_b64": b64(b"x")}).status == 200

    def event():
        return [e for e in fleet.events(root, "operation=approval.auto") if e["resource"]["id"] == apr]
    (event,) = wait_for(event, what="the event")
    assert {k: event["params"][k] for k in ("before", "after", "auto", "approver")} == {
        "before": "pending", "after": "approved", "auto": "true", "approver": "policy:short"}
    # One second too long: people are asked, and nobody else agrees.
    longer = asked(zoe.post("/v1/grants", dict(want, ttl_s=601)))
    apr = asked(zoe.post("/v1/grants", dict(want, ttl_s=599)))
    wait_for(lambda: zoe.ok("GET", "/v1/approvals/" + apr)["state"] == "approved", what="the rule to agree")
    assert zoe.ok("GET", "/v1/approvals/" + longer)["state"] == "pending"
    refused(zoe.post("/v1/grants", dict(want, scopes=["key:toy:destroy"])), 403, "PermissionDenied", "no_matching_rule")


@pytest.mark.parametrize("row, says", [
    ({"operation": "key.sing"}, "an operation that people can be asked about"),
    ({"operation": "approval.approve"}, "an operation that people can be asked about"),
    ({"operation": "key.sign", "ttl_max_s": 60}, "ttl_max_s is of grant.request only"),
    ({"operation": "key.sign", "hours": "someday"}, "days"),
    ({"operation": "key.sign", "hours": "mon-fri 08:00-18:00 Europe/Berlin"}, "in UTC"),
])
def test_a_rule_that_cannot_be_is_no_rule(fresh_fleet, row, says):
    fleet = fresh_fleet(dict(CONFIG, approvals={"auto": [dict(row, name="x", group="leads")]}), start=False)
    with pytest.raises(AssertionError):
        fleet.start(20)
    assert "AUTO-RULE" in fleet.tail(400) and says in fleet.tail(400)

# SPDX-License-Identifier: Apache-2.0
"""Policies in Cedar, above the floor of scopes: documents with versions, decisions on every call, and that nobody
is locked out by one."""
import hashlib
import json
import os

import pytest

from conftest import ROOT, b64, wait_for
from test_stepup import enrol

SIGN = {"message_b64": b64(b"x")}
ALL = "permit (principal, action, resource);\n"
WHY = {"reason": "because"}


@pytest.fixture
def tenant(fleet, admin, unique):
    """A tenant of its own for each test, and its admin: what it decides is nobody else's."""
    name = unique("t")
    made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "boss"})
    boss = fleet.client(made["admin"]["token"])
    boss.tenant = name
    yield boss
    boss.close()


def person(fleet, boss, name, roles=(), kind="human"):
    boss.ok("POST", "/v1/principals", {"kind": kind, "name": name, "roles": list(roles)})
    return fleet.client(boss.ok("POST", "/v1/principals/%s/tokens" % name, {})["token"])


def put(boss, name, text, **more):
    return boss.request("PUT", "/v1/policies/" + name, dict({"text": text}, **more))


def refused(got, reason, rule):
    assert (got.status, got.reason, got.json["rule"]) == (403, reason, rule), got


def sign(who, key):
    return who.post("/v1/keys/%s/sign" % key, SIGN)


# ------------------------------------------------------------- documents

def test_documents_have_versions(fleet, tenant):
    first = put(tenant, "base", ALL, reason="begin")
    assert first.status == 200 and first.headers["etag"] == '"1"', first
    body = first.json
    assert (body["version"], body["policies"], body["state"], body["policy_version"]) == (1, 1, "active", 1)
    assert body["sha256"] == hashlib.sha256(ALL.encode()).hexdigest() and body["reason"] == "begin"
    second = put(tenant, "base", "// two\n" + ALL)
    assert (second.json["version"], second.json["policy_version"]) == (2, 2)
    stale = tenant.request("PUT", "/v1/policies/base", {"text": ALL}, headers={"If-Match": '"1"'})
    assert (stale.status, stale.code) == (412, "PreconditionFailed")
    back = tenant.ok("POST", "/v1/policies/base/rollback", {"version": 1, "reason": "two was wrong"})
    assert (back["version"], back["restored_from"], back["text"]) == (3, 1, ALL)
    assert tenant.ok("GET", "/v1/policies/base")["text"] == ALL
    assert tenant.ok("GET", "/v1/policies/base?version=2")["text"] == "// two\n" + ALL
    versions = tenant.items("/v1/policies/base/versions?limit=2")
    assert [v["version"] for v in versions] == [3, 2, 1] and versions[0]["text"] is None
    gone = tenant.ok("DELETE", "/v1/policies/base?reason=over")
    assert (gone["state"], gone["version"], gone["text"]) == ("deleted", 4, None)
    assert tenant.get("/v1/policies/base").status == 404
    assert tenant.items("/v1/policies") == []
    again = tenant.ok("POST", "/v1/policies/base/rollback", {"version": 2, "reason": "not over"})
    assert (again["version"], again["text"], again["policy_version"]) == (5, "// two\n" + ALL, 5)
    assert [p["name"] for p in tenant.items("/v1/policies")] == ["base"]
    assert tenant.request("POST", "/v1/policies/base/rollback", {"version": 9, "reason": "x"}).reason == "unknown_value"
    # What changed is in the log: before and after, and by whom.
    events = [e for e in fleet.events(tenant, "operation=policy.update") if e["outcome"] == "allowed"]
    assert events[1]["params"]["sha256_before"] == events[0]["params"]["sha256_after"] == body["sha256"]
    assert events[0]["resource"] == {"type": "policy", "id": "base", "alias": None}


@pytest.mark.parametrize("text, where, said", [
    ("permit (principal, action resource);", "1:27", "expected"),
    ("permit (principal, action, resource)\nwhen { principal.rol == \"x\" };", "2:", "`rol`"),
    ("permit (principal, action == Aegis::Action::\"key.sing\", resource);", "1:", "key.sing"),
    ("permit (principal, action, resource) when { context.risk > 3 };", "1:", "risk"),
    ("@stepup(\"totp\") permit (principal, action, resource);", "1:", "@stepup means nothing here"),
    ("@step_up(\"sms\") permit (principal, action, resource);", "1:", "@step_up is \"totp\""),
    ("@step_up(\"totp\") forbid (principal, action, resource);", "1:", "stands at a permit"),
    ("@approval(\"leads, quorum 0\") permit (principal, action, resource);", "1:", "@approval is"),
    ("@id(\"a\") permit (principal, action, resource);@id(\"a\") forbid (principal, action, resource);", "1:", "same @id"),
    ("permit (principal == ?principal, action, resource);", "", "templates"),
    ("// nothing\n", "", "no policy in it"),
    ("permit (principal, action, resource) when { " + "(" * 200 + "true" + ")" * 200 + " };", "1:", "brackets"),
])
def test_a_bad_document_changes_nothing(fleet, tenant, text, where, said):
    assert put(tenant, "base", ALL).status == 200
    got = put(tenant, "base", text)
    assert (got.status, got.code, got.reason, got.json["field"]) == (400, "InvalidField", "bad_policy", "/text"), got
    assert got.json["detail"].startswith(where) and said in got.json["detail"], got
    assert tenant.ok("GET", "/v1/policies/base")["version"] == 1
    checked = tenant.ok("POST", "/v1/policy-tools/validate", {"text": text})
    assert checked["valid"] is False and any(said in f["detail"] for f in checked["findings"])


def test_bounds(fleet, tenant):
    long = "// %s\n" % ("x" * (256 << 10)) + ALL
    assert put(tenant, "base", long).reason == "bad_policy"
    assert put(tenant, "Base", ALL).reason == "bad_alias"
    many = (ALL * 1001)
    assert put(tenant, "a", many).status == 200
    full = put(tenant, "b", many)
    assert (full.status, full.reason) == (429, "account") and "2000 policies" in full.json["detail"]
    big = tenant.request("PUT", "/v1/policies/big", b'{"text":"' + b"x" * (10 << 20) + b'"}')
    assert (big.status, big.code) == (413, "RequestTooLarge")


def test_validate_and_schema(fleet, tenant):
    schema = tenant.ok("GET", "/v1/policy-schema")
    assert "entity Key" in schema["schema"] and 'action "key.sign" in ["use"]' in schema["schema"]
    good = tenant.ok("POST", "/v1/policy-tools/validate", {"text": ALL * 3})
    assert good == {"valid": True, "policies": 3, "findings": []}
    never = tenant.ok("POST", "/v1/policy-tools/validate", {
        "text": "permit (principal, action == Aegis::Action::\"key.sign\", resource is Aegis::Tool);"})
    assert never["findings"] and never["findings"][0]["line"] == 1


def test_lint(fleet, tenant, tmp_path):
    """Each finding has a rule, a place and what would be right; drafts stand in for what is in force; nothing changes."""
    lint = lambda **ask: tenant.ok("POST", "/v1/policy-tools/lint", ask)
    assert lint() == {"clean": True, "policies": 0, "findings": []}
    put(tenant, "base", ALL)
    assert lint() == {"clean": True, "policies": 1, "findings": []}
    narrow = {"name": "narrow", "text": "\n  permit (principal is Aegis::Agent, action, resource);"}
    got = lint(documents=[narrow])
    assert (got["clean"], got["policies"]) == (False, 2)
    [found] = got["findings"]
    assert (found["kind"], found["rule"], found["line"], found["column"]) == ("shadowed", "narrow/0", 2, 3)
    assert found["severity"] == "warning" and "base/0 (1:1) says all of this; remove this" in found["detail"]
    assert lint(documents=[narrow], alone=True)["clean"] is True
    assert lint(documents=[narrow, {"name": "base"}])["clean"] is True
    wall = {"name": "base", "text": "forbid (principal, action, resource);"}
    assert [f["kind"] for f in lint(documents=[narrow, wall])["findings"]] == ["unreachable"]
    wrong = lint(documents=[{"name": "x", "text": "permit (principal);"}])
    assert wrong["findings"][0]["severity"] == "error" and wrong["findings"][0]["rule"] == "x"
    for documents in ([{"name": "No", "text": ALL}], [narrow, narrow],
                      [{"name": "d%d" % i, "text": ALL} for i in range(65)]):
        got = tenant.request("POST", "/v1/policy-tools/lint", {"documents": documents})
        assert (got.status, got.code) == (400, "InvalidField"), got
    assert [p["name"] for p in tenant.items("/v1/policies")] == ["base"]
    user = person(fleet, tenant, "uma", ["key-user"])
    assert user.post("/v1/policy-tools/lint", {}).reason == "scope_missing"
    # The command: files without a server, or what is in force.
    token = tmp_path / "token"
    token.write_text(tenant.token)
    token.chmod(0o600)
    (tmp_path / "base.cedar").write_text(ALL)
    fleet.run("policy", "lint", str(tmp_path / "base.cedar"), check=0)
    (tmp_path / "narrow.cedar").write_text(narrow["text"])
    done = fleet.run("policy", "lint", str(tmp_path), check=1)
    assert "narrow.cedar:2:3: shadowed: base/0 (1:1) says all of this" in done.stdout
    (tmp_path / "narrow.cedar").write_text("permit (")
    fleet.run("policy", "lint", str(tmp_path), check=2)
    fleet.run("policy", "lint", token=str(token), check=0)
    put(tenant, "narrow", narrow["text"])
    done = fleet.run("policy", "lint", "--json", token=str(token), check=1)
    assert json.loads(done.stdout)["kind"] == "shadowed"


def test_scopes_of_policies(fleet, tenant):
    auditor = person(fleet, tenant, "ann", ["auditor"])
    user = person(fleet, tenant, "uma", ["key-user"])
    put(tenant, "base", ALL)
    assert auditor.get("/v1/policies/base").status == 200
    assert put(auditor, "base", ALL).reason == "scope_missing"
    assert user.get("/v1/policies").reason == "scope_missing"
    assert user.post("/v1/policy-tools/validate", {"text": ALL}).reason == "scope_missing"


# ------------------------------------------------------------- decisions

def test_without_policies_scopes_decide(fleet, tenant):
    fleet.key(tenant, "k")
    answer = sign(tenant, "k")
    assert answer.status == 200
    [event] = fleet.event_of(tenant, answer)
    assert (event["rule"], event["policy_version"]) == (None, None)


def test_default_deny_and_forbid_wins(fleet, tenant):
    for name in ("payroll", "other"):
        fleet.key(tenant, name)
    alice = person(fleet, tenant, "alice", ["key-user", "agent-issuer"])
    assert sign(alice, "other").status == 200
    put(tenant, "keys", """
@id("alice-payroll")
permit (principal in Aegis::Human::"alice", action in Aegis::Action::"use", resource == Aegis::Key::"payroll");
permit (principal in Aegis::Human::"alice", action == Aegis::Action::"agent.issue", resource);
@id("closed") @reason("payroll is closed on this address")
forbid (principal, action == Aegis::Action::"key.sign", resource == Aegis::Key::"payroll")
when { context.source.isInRange(ip("192.0.2.0/24")) };
permit (principal == Aegis::Human::"boss", action in Aegis::Action::"read", resource);
""")
    allowed = sign(alice, "payroll")
    assert allowed.status == 200
    [event] = fleet.event_of(tenant, allowed)
    assert (event["rule"], event["policy_version"]) == ("keys/alice-payroll", "1")
    no = sign(alice, "other")
    refused(no, "no_matching_rule", "default-deny")
    [event] = fleet.event_of(tenant, no)
    assert (event["outcome"], event["rule"], event["policy_version"]) == ("denied", "default-deny", "1")
    # An agent is in the person above it; and has no more than its scope.
    agent = fleet.agent(alice, ["key:payroll:sign", "key:other:sign"])
    assert sign(agent, "payroll").status == 200
    refused(sign(agent, "other"), "no_matching_rule", "default-deny")
    assert agent.post("/v1/keys/payroll/encrypt", {"plaintext_b64": b64(b"x")}).reason == "scope_missing"
    # The next call sees the next version.
    put(tenant, "stop", "@id(\"all\") @reason(\"an incident\")\nforbid (principal, action in Aegis::Action::\"use\", "
        "resource);")
    no = sign(alice, "payroll")
    refused(no, "no_matching_rule", "stop/all")
    assert "an incident" in no.json["detail"]
    assert fleet.event_of(tenant, no)[0]["policy_version"] == "2"
    tenant.ok("DELETE", "/v1/policies/stop?reason=over")
    assert sign(alice, "payroll").status == 200


def test_nothing_that_exists_is_told(fleet, tenant):
    """A policy comes before existence: without a permit, a key that is there and one that is not look alike."""
    fleet.key(tenant, "there")
    put(tenant, "base", "permit (principal, action in Aegis::Action::\"read\", resource == Aegis::Key::\"seen\");")
    for name in ("there", "nowhere"):
        refused(tenant.get("/v1/keys/" + name), "no_matching_rule", "default-deny")
    assert tenant.get("/v1/keys/seen").status == 404


def test_nobody_is_locked_out(fleet, tenant):
    """Whatever policies say, who holds policy:*:update changes them; and after the last one everything is denied."""
    fleet.key(tenant, "k")
    put(tenant, "wall", "forbid (principal, action, resource);")
    refused(sign(tenant, "k"), "no_matching_rule", "wall/0")
    refused(tenant.get("/v1/principals"), "no_matching_rule", "wall/0")
    assert tenant.get("/v1/whoami").status == 200
    assert tenant.get("/v1/policies").status == 200
    tenant.ok("DELETE", "/v1/policies/wall?reason=oops")
    refused(sign(tenant, "k"), "no_matching_rule", "default-deny")
    assert put(tenant, "base", ALL).status == 200
    assert sign(tenant, "k").status == 200


def test_a_policy_that_fails_is_skipped_and_said(fleet, tenant):
    fleet.key(tenant, "k", labels={"team": "red"})
    put(tenant, "base", "permit (principal, action, resource);\n"
        "@id(\"big\") forbid (principal, action == Aegis::Action::\"key.sign\", resource)\n"
        "when { context.items + 9223372036854775807 > 0 };")
    assert sign(tenant, "k").status == 200
    put(tenant, "base", "@id(\"big\") permit (principal, action == Aegis::Action::\"key.sign\", resource)\n"
        "when { context.items + 9223372036854775807 > 0 };")
    no = sign(tenant, "k")
    refused(no, "no_matching_rule", "default-deny")
    fleet_side = [e for e in fleet.all_events() if e["request_id"] == no.headers["x-request-id"]]
    assert fleet_side[0]["params"]["policy_error"] == "base/big: overflow at 2:22"


def test_labels_roles_batch(fleet, tenant):
    fleet.key(tenant, "prod", labels={"env": "prod"}, spec="AES_256")
    fleet.key(tenant, "test", labels={"env": "test"}, spec="AES_256")
    operator = person(fleet, tenant, "olga", ["key-user"])
    manager = person(fleet, tenant, "mia", ["key-admin"])
    put(tenant, "base", """
permit (principal in Aegis::Role::"key-user", action in Aegis::Action::"use", resource is Aegis::Key)
when { resource.hasTag("env") && resource.getTag("env") == "test" };
permit (principal in Aegis::Role::"key-admin", action, resource)
unless { context.items > 2 };
""")
    encrypt = lambda who, key, n=1: who.post("/v1/keys/%s/batch" % key, {
        "operation": "encrypt", "items": [{"plaintext_b64": b64(b"x")}] * n})
    assert encrypt(operator, "test", 5).status == 200
    refused(encrypt(operator, "prod"), "no_matching_rule", "default-deny")
    assert encrypt(manager, "prod", 2).status == 200
    refused(encrypt(manager, "prod", 3), "no_matching_rule", "default-deny")


def test_step_up(fleet, tenant):
    """A permit that wants a second factor asks for it; the same request comes back with a code, once."""
    fleet.key(tenant, "vault")
    alice = person(fleet, tenant, "alice", ["key-user", "agent-issuer"])
    device = enrol(fleet, alice, "alice")
    bob = person(fleet, tenant, "bob", ["key-user"])
    put(tenant, "base", """
permit (principal, action, resource) unless { action == Aegis::Action::"key.sign" };
@id("second") @step_up("totp") permit (principal, action == Aegis::Action::"key.sign", resource);
""")
    asked = sign(alice, "vault")
    assert (asked.status, asked.code) == (401, "StepUpRequired"), asked
    assert asked.json["rule"] == "base/second"
    header = {"Aegis-Step-Up": "%s totp=%s" % (asked.json["challenge_id"], device.code())}
    signed = alice.post("/v1/keys/vault/sign", SIGN, headers=header)
    assert signed.status == 200, signed
    assert alice.post("/v1/keys/vault/sign", SIGN, headers=header).reason == "challenge_spent"
    refused(sign(bob, "vault"), "step_up_not_enrolled", "base/second")
    agent = fleet.agent(alice, ["key:vault:sign"])
    refused(sign(agent, "vault"), "step_up_not_enrolled", "base/second")
    # A forbid wins over it; and a policy sees that the request came with a code.
    put(tenant, "night", "forbid (principal, action == Aegis::Action::\"key.sign\", resource) "
        "unless { context.stepped_up };")
    refused(sign(alice, "vault"), "no_matching_rule", "night/0")


def test_time_and_age(fleet, tenant):
    fleet.key(tenant, "k")
    put(tenant, "base", "permit (principal, action, resource) when { context.credential_age < duration(\"1h\") && "
        "context.at >= datetime(\"2024-01-01\") && context.plane == \"rest\" };")
    assert sign(tenant, "k").status == 200
    fleet.move_clock(3700)
    wait_for(lambda: sign(tenant, "k").status == 403, what="the credential to be too old")
    refused(sign(tenant, "k"), "no_matching_rule", "default-deny")


def test_two_tenants(fleet, admin, unique):
    """What one tenant permits or forbids is nothing to another, whose keys it does not even see."""
    bosses = []
    for _ in range(2):
        made = admin.ok("POST", "/v1/tenants", {"name": unique("t"), "admin_name": "boss"})
        bosses.append(fleet.client(made["admin"]["token"]))
    one, two = bosses
    for boss in bosses:
        fleet.key(boss, "k")
    put(one, "base", "forbid (principal, action, resource);")
    refused(sign(one, "k"), "no_matching_rule", "base/0")
    answer = sign(two, "k")
    assert answer.status == 200 and fleet.event_of(two, answer)[0]["policy_version"] is None
    assert two.items("/v1/policies") == [] and two.get("/v1/policies/base").status == 404
    put(two, "base", ALL)
    assert two.ok("GET", "/v1/policies/base")["policy_version"] == 1
    refused(sign(one, "k"), "no_matching_rule", "base/0")
    theirs = two.ok("GET", "/v1/keys/k")["id"]
    put(one, "base", ALL)
    assert one.get("/v1/keys/" + theirs).status == 404


def test_policies_outlive_a_restart(fresh_fleet):
    f = fresh_fleet()
    boss = f.admin()
    f.key(boss, "k")
    put(boss, "base", ALL)
    put(boss, "stop", "forbid (principal, action == Aegis::Action::\"key.sign\", resource);")
    f.stop()
    f.start()
    boss = f.admin()
    refused(sign(boss, "k"), "no_matching_rule", "stop/0")
    assert boss.ok("GET", "/v1/keys/k")["alias"] == "k"
    assert boss.ok("POST", "/v1/policies/base/rollback", {"version": 1, "reason": "x"})["policy_version"] == 3


# ------------------------------------------------------------------ P23: files

def test_files(fleet, tenant, tmp_path):
    """pull and push round-trip byte for byte; diff says 0, 1 or 2; a push of a bad file sends nothing."""
    token = tmp_path / "token"
    token.write_text(tenant.token)
    token.chmod(0o600)
    run = lambda *words: fleet.run("policy", *words, token=str(token))
    text = "// as it is:\ttab, \u00e9, no newline at the end\n" + ALL.strip()
    put(tenant, "base", text)
    put(tenant, "second", ALL)
    folder = tmp_path / "policies"
    assert run("pull", str(folder)).returncode == 0
    assert (folder / "base.cedar").read_bytes() == text.encode()
    assert run("diff", str(folder)).returncode == 0
    assert run("push", str(folder)).returncode == 0
    assert tenant.ok("GET", "/v1/policies/base")["version"] == 1  # nothing differs, nothing is sent
    (folder / "base.cedar").write_text("// changed\n" + ALL)
    (folder / "new.cedar").write_text(ALL)
    changed = run("diff", str(folder))
    assert (changed.returncode, changed.stdout.split("\n")[:2]) == (1, ["~ base", "+ new"])
    (folder / "second.cedar").write_text("permit (principal, action);")
    bad = run("push", str(folder))
    assert bad.returncode == 2 and "second.cedar:1:26: error:" in bad.stdout, bad
    assert tenant.ok("GET", "/v1/policies/base")["version"] == 1
    assert run("diff", str(tmp_path / "nothing")).returncode == 2
    assert run("validate", str(folder / "base.cedar")).returncode == 0
    (folder / "second.cedar").write_text(ALL)
    assert run("push", str(folder), "--reason", "moved").returncode == 0
    assert tenant.ok("GET", "/v1/policies/base")["reason"] == "moved"
    assert [p["version"] for p in tenant.items("/v1/policies")] == [2, 1, 1]
    (folder / "base.cedar").write_text("permit(principal,action,resource);")
    assert run("format", "--check", str(folder)).returncode == 1
    assert run("format", str(folder)).returncode == 0
    assert run("format", "--check", str(folder)).returncode == 0
    assert run("show", "base", "--version", "1").stdout == text
    assert run("show", "gone").returncode == 4
    back = run("rollback", "base", "1", "--reason", "too much")
    assert back.returncode == 0 and run("show", "base").stdout == text, back
    assert tenant.ok("GET", "/v1/policies/base")["version"] == 3
    assert run("rollback", "base", "9", "--reason", "no such").returncode == 2


def test_test_files(fleet, tmp_path):
    """Tests run without a server, and fail when they are not met."""
    golden = os.path.join(ROOT, "tests", "vectors", "policy.json")
    done = fleet.run("policy", "test", golden, check=0)
    data = json.load(open(golden))
    count = sum(len(case["requests"]) for case in data["cases"])
    assert count >= 300 and "%d requests, 0 not as expected" % count in done.stdout
    data["cases"][0]["requests"][0]["expect"] = "deny"
    bent = tmp_path / "bent.json"
    bent.write_text(json.dumps(data))
    done = fleet.run("policy", "test", str(bent), check=1)
    assert "everything/1: expected deny" in done.stdout and "1 not as expected" in done.stdout
    bent.write_text("{")
    fleet.run("policy", "test", str(bent), check=2)

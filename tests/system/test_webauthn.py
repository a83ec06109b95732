# SPDX-License-Identifier: Apache-2.0
"""FIDO2 keys as the second factor, through the public sockets, with a key in
software: enrolling, answering for a request, and each thing that is refused."""
import base64
import json

import pytest

from authenticator import EDDSA, ES256, RS256, UP, UV, SoftKey
from conftest import CONFIG, Fleet, b64, wait_for
from test_stepup import ALWAYS, SIGN, enrol as enrol_totp, next_step, refused, step_up

RP = {"auth": {"webauthn": {"rp_id": "aegis.example", "origins": ["https://keys.aegis.example", "https://aegis.example"]}}}


def path(name):
    return "/v1/principals/%s/webauthn" % name


def begin(who, name, called, **headers):
    return who.post(path(name), {"name": called}, headers=headers)


def enrol(who, name, called="blue", key=None, attestation="none", **bent):
    key = key or SoftKey()
    options = begin(who, name, called)
    assert options.status == 201, options
    made = who.post(path(name) + "/confirm", key.make(options.json, attestation, **bent))
    assert made.status == 200, made
    return key


def answer(who, chl, key, **bent):
    """Answers it by itself: what the server said of it goes to the key."""
    shown = who.ok("GET", "/v1/challenges/" + chl)
    return who.post("/v1/challenges/" + chl, key.get(shown["webauthn"], **bent))


@pytest.fixture(scope="module")
def calm():
    """A fleet in which nothing is unusual."""
    fleet = Fleet(config=dict(CONFIG, **RP))
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.leave()


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("attestation", ["none", "self"])
def test_a_key_is_enrolled_and_removed(calm, unique, algorithm, attestation):
    name, admin = unique("eve"), calm.admin()
    eve = calm.person(name, roles=())
    options = begin(eve, name, "blue").json
    assert options["rp_id"] == "aegis.example" and options["origins"] == RP["auth"]["webauthn"]["origins"]
    assert options["algorithms"] == [-7, -8, -257] and options["exclude_b64"] == [] and options["user_name"] == name
    assert len(base64.b64decode(options["challenge_b64"])) == 32 and options["user_verification"] is False
    key = SoftKey(algorithm)
    sent = key.make(options, attestation)
    made = eve.post(path(name) + "/confirm", sent)
    assert made.status == 200, made
    word = {ES256: "ES256", EDDSA: "EdDSA", RS256: "RS256"}[algorithm]
    want = {"name": "blue", "credential_id_b64": b64(key.id), "algorithm": word, "attestation": attestation,
            "aaguid": "00010203-0405-0607-0809-0a0b0c0d0e0f", "sign_count": 1, "last_used_at": None}
    assert {k: made.json[k] for k in want} == want
    # A challenge is good once.
    refused(eve.post(path(name) + "/confirm", sent), 409, "AlreadyExists", "name")
    assert eve.ok("GET", path(name)) == {"items": [made.json]} == admin.ok("GET", path(name))
    refused(begin(eve, name, "blue"), 409, "AlreadyExists", "name")
    # The only one goes by somebody else's hand, with a reason.
    refused(eve.request("DELETE", path(name) + "/blue?reason=lost"), 403, "PermissionDenied", "scope_missing")
    refused(admin.request("DELETE", path(name) + "/red?reason=lost"), 404, "ItemNotFound", None)
    assert admin.request("DELETE", path(name) + "/blue").status == 400
    gone = admin.request("DELETE", path(name) + "/blue?reason=lost")
    assert gone.status == 200 and gone.json == made.json
    assert eve.ok("GET", path(name)) == {"items": []}
    event = calm.event_of(admin, gone)[0]
    assert event["operation"] == "principal.webauthn-remove" and event["params"]["credential"] == "blue"


REFUSED = [
    ("origin", dict(origin="https://evil.example")),
    ("origin", dict(origin="https://aegis.example.evil.example")),
    ("origin", dict(crossOrigin=True)),
    ("origin", dict(topOrigin="https://evil.example")),
    ("rp_id", dict(rp_id="evil.example")),
    ("challenge_wrong", dict(challenge=b"\0" * 32)),
    ("challenge_wrong", dict(challenge=b"short")),
    ("user_presence", dict(flags=0)),
]


@pytest.mark.parametrize("reason,bent", REFUSED + [
    ("ceremony", dict(kind="webauthn.get")),
    ("attestation", dict(attestation="broken")),
    ("authenticator_data", dict(bend=lambda auth: auth + b"\0")),
    ("authenticator_data", dict(bend=lambda auth: auth[:-1])),
], ids=lambda v: v if isinstance(v, str) else ",".join(v))
def test_a_registration_is_refused(calm, unique, reason, bent):
    name = unique("eve")
    eve = calm.person(name, roles=())
    options = begin(eve, name, "blue").json
    bent = dict(bent)
    got = eve.post(path(name) + "/confirm", SoftKey().make(options, bent.pop("attestation", "none"), **bent))
    refused(got, 401, "StepUpFailed", reason)
    assert eve.ok("GET", path(name)) == {"items": []}
    # The challenge is still good for a right answer, and five wrong ones are all.
    for _ in range(4):
        refused(eve.post(path(name) + "/confirm", SoftKey().make(options, flags=0)), 401, "StepUpFailed", "user_presence")
    refused(eve.post(path(name) + "/confirm", SoftKey().make(options)), 401, "StepUpFailed", "challenge_spent")


def test_whose_enrolment_it_is(calm, unique):
    name, other = unique("eve"), unique("mallory")
    eve, mallory, admin = calm.person(name, roles=()), calm.person(other, roles=()), calm.admin()
    options = begin(eve, name, "blue").json
    refused(begin(mallory, name, "blue"), 403, "PermissionDenied", "scope_missing")
    refused(mallory.post(path(other) + "/confirm", SoftKey().make(options)), 401, "StepUpFailed", "challenge_expired")
    refused(admin.post(path(name) + "/confirm", SoftKey().make(options)), 403, "PermissionDenied", "scope_missing")
    agent = calm.agent(admin, ["key:x:sign"])
    refused(begin(agent, name, "blue"), 403, "PermissionDenied", "not_for_agents")
    refused(begin(eve, name, "Blue!"), 400, "InvalidField", "out_of_range")
    key = SoftKey()
    assert eve.post(path(name) + "/confirm", key.make(options)).status == 200
    # One credential is one person's.
    again = begin(mallory, other, "mine").json
    refused(mallory.post(path(other) + "/confirm", key.make(again)), 409, "AlreadyExists", "name")
    # A stolen token brings no second key, and no code; who may update people can have one made.
    refused(begin(eve, name, "green"), 401, "StepUpRequired", None)
    refused(eve.post("/v1/principals/%s/totp" % name), 401, "StepUpRequired", None)
    options = begin(admin, name, "green").json
    assert options["exclude_b64"] == [b64(key.id)] and options["user_name"] == name
    assert eve.post(path(name) + "/confirm", SoftKey().make(options)).status == 200
    assert sorted(k["name"] for k in eve.ok("GET", path(name))["items"]) == ["blue", "green"]
    # With two, one may go by one's own hand, when the other answers for it.
    asked = eve.request("DELETE", path(name) + "/green?reason=old")
    refused(asked, 401, "StepUpRequired", None)
    chl = asked.json["challenge_id"]
    assert asked.json["methods"] == ["webauthn"]
    assert answer(eve, chl, key).json["state"] == "answered"
    gone = eve.request("DELETE", path(name) + "/green?reason=old", headers={"Aegis-Step-Up": chl})
    assert gone.status == 200 and gone.json["name"] == "green"
    # An enrolment is over after five minutes.
    options = begin(admin, name, "late").json
    calm.move_clock(301)
    wait_for(lambda: eve.post(path(name) + "/confirm", SoftKey().make(options)).reason == "challenge_expired",
             what="the end of the enrolment")


def test_step_up_by_a_key(fresh_fleet):
    """I35: the ceremony; every refusal of it; the counter, over a restart of everything too."""
    fleet = fresh_fleet(dict(CONFIG, **RP))
    alice = fleet.person("alice")
    fleet.key(alice, "vault")
    key, sign = enrol(alice, "alice"), "/v1/keys/vault/sign"
    fleet.stop()
    fleet.configure(dict(ALWAYS, **RP))  # now everything of people is asked for it
    fleet.start()
    alice = fleet.client(alice.token)
    asked = alice.post(sign, SIGN)
    refused(asked, 401, "StepUpRequired", None)
    assert asked.json["methods"] == ["webauthn"] and "urn:aegis:acr:webauthn\"" in asked.headers["www-authenticate"]
    chl = asked.json["challenge_id"]
    shown = alice.ok("GET", "/v1/challenges/" + chl)
    assert shown["methods"] == ["webauthn"] and shown["webauthn"]["credential_ids_b64"] == [b64(key.id)]
    # There is no code to give.
    refused(alice.post("/v1/challenges/" + chl, {"totp": "123456"}), 403, "PermissionDenied", "step_up_not_enrolled")
    refused(alice.post(sign, SIGN, headers=step_up(chl, "123456")), 401, "StepUpFailed", "code_wrong")
    refused(alice.post("/v1/challenges/" + chl, {}), 400, "InvalidField", "missing")
    refused(alice.post("/v1/challenges/" + chl, dict(key.get(shown["webauthn"]), totp="123456")), 400, "InvalidField",
            "conflicting_fields")
    bad = REFUSED + [("ceremony", dict(kind="webauthn.create")), ("credential_unknown", dict(credential=b"x" * 32)),
                     ("signature", dict(bend=lambda s: s[:-1] + bytes([s[-1] ^ 1]))), ("sign_count", dict(counter=0)),
                     ("sign_count", dict(counter=1))]
    for n, (reason, bent) in enumerate(bad):
        if n % 4 == 0:  # five wrong answers end a challenge
            chl = alice.post(sign, SIGN).json["challenge_id"]
        at = key.counter
        got = answer(alice, chl, key, **bent)
        refused(got, 401, "StepUpFailed", reason)
        if reason == "sign_count":  # it is in the audit log
            event = [e for e in fleet.all_events() if e["request_id"] == got.headers["x-request-id"]]
            assert [(e["outcome"], e["reason_code"]) for e in event] == [("denied", "sign_count")]
        key.counter = max(at, key.counter)
    # The right one, once; for this request, once.
    chl = alice.post(sign, SIGN).json["challenge_id"]
    sent = key.get(alice.ok("GET", "/v1/challenges/" + chl)["webauthn"])
    assert alice.post("/v1/challenges/" + chl, sent).json["state"] == "answered"
    refused(alice.post("/v1/challenges/" + chl, sent), 401, "StepUpFailed", "challenge_spent")
    refused(alice.post(sign, {"message_b64": b64(b"y")}, headers={"Aegis-Step-Up": chl}), 401, "StepUpFailed",
            "request_changed")
    done = alice.post(sign, SIGN, headers={"Aegis-Step-Up": chl})
    assert done.status == 200, done
    refused(alice.post(sign, SIGN, headers={"Aegis-Step-Up": chl}), 401, "StepUpFailed", "challenge_spent")
    # Another challenge is not answered by what was sent for this one.
    other = alice.post(sign, SIGN).json["challenge_id"]
    refused(alice.post("/v1/challenges/" + other, sent), 401, "StepUpFailed", "challenge_wrong")
    # A copy of the key is behind, after a restart as well.
    count = key.counter
    fleet.stop()
    fleet.start()
    alice = fleet.client(alice.token)
    chl = alice.post(sign, SIGN).json["challenge_id"]
    refused(answer(alice, chl, key, counter=count), 401, "StepUpFailed", "sign_count")
    assert answer(alice, chl, key, counter=count + 1).status == 200
    assert alice.post(sign, SIGN, headers={"Aegis-Step-Up": chl}).status == 200


def test_it_approves(calm, unique):
    """A key is as good as a code where people say yes; one that counts nothing, too."""
    admin, name, leads, k = calm.admin(), unique("lead"), unique("leads"), unique("k")
    admin.ok("PUT", "/v1/roles/" + leads, {"scopes": ["system:*:approve"]})
    lead = calm.person(name, roles=(leads,))
    key = enrol(lead, name, key=SoftKey(counter=None))
    admin.ok("PUT", "/v1/policies/ask", {"text": """permit (principal, action, resource);
@approval("%s") permit (principal is Aegis::Agent, action == Aegis::Action::"key.sign", resource);""" % leads})
    calm.key(admin, k)
    agent = calm.agent(admin, ["key:%s:sign" % k])
    got = agent.post("/v1/keys/%s/sign" % k, SIGN)
    refused(got, 403, "ApprovalRequired", "pending")
    apr = got.json["approval_id"]
    yes, body = "/v1/approvals/%s/approve" % apr, {"comment": "yes"}
    asked = lead.post(yes, body)
    refused(asked, 401, "StepUpRequired", None)
    chl = asked.json["challenge_id"]
    assert answer(lead, chl, key).json["state"] == "answered"
    done = lead.post(yes, body, headers={"Aegis-Step-Up": chl})
    assert done.status == 200 and done.json["state"] == "approved", done
    assert agent.post("/v1/keys/%s/sign" % k, SIGN, headers={"Aegis-Approval": apr}).status == 200
    admin.ok("PUT", "/v1/policies/ask", {"text": "permit (principal, action, resource);"})


def test_both_factors(calm, unique):
    """Who has a code and a key answers with either."""
    name, admin = unique("eve"), calm.admin()
    eve = calm.person(name)
    device = enrol_totp(calm, eve, name)
    options = begin(eve, name, "blue")
    refused(options, 401, "StepUpRequired", None)
    assert options.json["methods"] == ["totp"]
    next_step(calm)
    options = begin(eve, name, "blue", **step_up(options.json["challenge_id"], device.code()))
    key = SoftKey()
    assert eve.post(path(name) + "/confirm", key.make(options.json)).status == 200
    bot = unique("bot")
    calm.agent(eve, ["key:x:sign"], label=bot)
    ask = {"label": bot, "reason": "because"}
    got = eve.post("/v1/agents/revoke", ask)
    assert got.json["methods"] == ["totp", "webauthn"]
    assert 'acr_values="urn:aegis:acr:totp urn:aegis:acr:webauthn"' in got.headers["www-authenticate"]
    assert answer(eve, got.json["challenge_id"], key).status == 200
    assert eve.post("/v1/agents/revoke", ask, headers={"Aegis-Step-Up": got.json["challenge_id"]}).json["revoked"] == 1


def test_verification_is_wanted(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, auth={"webauthn": {"user_verification": True}}))
    eve = fleet.person("eve", roles=())
    options = begin(eve, "eve", "blue").json
    assert options["rp_id"] == "localhost" and options["origins"] == ["https://localhost"]
    assert options["user_verification"] is True
    refused(eve.post(path("eve") + "/confirm", SoftKey().make(options)), 401, "StepUpFailed", "user_verification")
    key = SoftKey()
    assert eve.post(path("eve") + "/confirm", key.make(options, flags=UP | UV)).status == 200
    chl = begin(eve, "eve", "red").json["challenge_id"]
    refused(answer(eve, chl, key), 401, "StepUpFailed", "user_verification")
    assert answer(eve, chl, key, flags=UP | UV).json["state"] == "answered"


def test_the_command(calm, unique, tmp_path):
    """Enrol, list, approve's step-up and remove, with files between the command and the key."""
    name, bot = unique("eve"), unique("bot")
    eve = calm.person(name)
    calm.agent(eve, ["key:x:sign"], label=bot)
    token, sent, code = (tmp_path / n for n in ("token", "sent.json", "code"))
    for file in (token, sent, code):
        file.touch(0o600)
    token.write_text(eve.token)
    token = str(token)
    made = calm.run("webauthn", "begin", name, "--name", "blue", token=token, check=0)
    key = SoftKey()
    sent.write_text("{")
    assert "--in: line 1" in calm.run("webauthn", "confirm", name, "--in", str(sent), token=token, check=2).stderr
    sent.write_text(json.dumps(key.make(json.loads(made.stdout))))
    assert "blue" in calm.run("webauthn", "confirm", name, "--in", str(sent), token=token, check=0).stdout
    shown = calm.run("webauthn", "list", name, "--json", token=token, check=0)
    assert json.loads(shown.stdout)["name"] == "blue"
    revoke = ["agent", "revoke", "--label", bot, "--reason", "because"]
    asked = calm.run(*revoke, token=token, check=3)
    chl = asked.stderr.split("aegis webauthn show ")[1].split()[0]
    shown = calm.run("webauthn", "show", chl, token=token, check=0)
    sent.write_text(json.dumps(key.get(json.loads(shown.stdout)["webauthn"])))
    assert "answered" in calm.run("webauthn", "answer", chl, "--in", str(sent), token=token, check=0).stdout
    code.write_text(chl + "\n")
    calm.run(*revoke, "--code-file", str(code), token=token, check=0)
    assert calm.admin().items("/v1/agents?label=%s&state=live" % bot) == []
    calm.run("webauthn", "remove", name, "blue", "--reason", "lost", check=0)
    assert calm.run("webauthn", "list", name, "--json", check=0).stdout == ""

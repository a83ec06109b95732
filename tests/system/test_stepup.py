# SPDX-License-Identifier: Apache-2.0
"""The second factor through the public socket: enrolling it, and requests
that are let through only with a code of it."""
import base64
import email.utils
import hashlib
import hmac
import json
import os
import pty
import select
import struct
import time

import pytest

from conftest import AEGIS, CONFIG, b64, wait_for

ALWAYS = dict(CONFIG, risk={"step_up": 0, "deny": 0.9})
SIGN = {"message_b64": b64(b"x")}
WHY = {"reason": "because"}


def refused(got, status, code, reason):
    assert (got.status, got.code, got.reason) == (status, code, reason), got


class Authenticator:
    """RFC 6238, written from the standard and not from the product."""

    def __init__(self, fleet, secret_b32):
        self.fleet = fleet
        self.key = base64.b32decode(secret_b32)

    def code(self, steps=0):
        counter = int(self.fleet.now() // 30) + steps
        mac = hmac.new(self.key, struct.pack(">Q", counter), hashlib.sha1).digest()
        at = mac[19] & 15
        return "%06d" % ((struct.unpack(">I", mac[at:at + 4])[0] & 0x7fffffff) % 1000000)


def next_step(fleet):
    """To the begin of the next step: a code is good for one request, and none ends under the test."""
    fleet.move_clock(30 - fleet.now() % 30 + 1)
    wait_for(lambda: abs(fleet_time(fleet) - fleet.now()) < 5, what="the clock to be moved")


def fleet_time(fleet):
    """What the fleet's clock says, from its Date header (seconds)."""
    return email.utils.parsedate_to_datetime(fleet.client().get("/v1/info").headers["date"]).timestamp()


def text_of(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def enrol(fleet, who, name):
    made = who.post("/v1/principals/%s/totp" % name)
    assert made.status == 201, made
    device = Authenticator(fleet, made.json["secret_b32"])
    next_step(fleet)
    who.ok("POST", "/v1/principals/%s/totp/confirm" % name, {"code": device.code()})
    next_step(fleet)
    return device


def step_up(challenge, code):
    return {"Aegis-Step-Up": "%s totp=%s" % (challenge, code)}


@pytest.fixture
def guarded(fresh_fleet):
    """A fleet in which everything of people needs a second factor, and alice, who has one."""
    fleet = fresh_fleet()
    alice = fleet.person("alice")
    bob = fleet.person("bob")
    fleet.device = enrol(fleet, alice, "alice")
    fleet.bobs = enrol(fleet, bob, "bob")
    fleet.carol = fleet.person("carol")
    fleet.agent_token = fleet.agent(alice, ["key:vault:sign"])
    fleet.key(alice, "vault")
    fleet.stop()
    fleet.configure(ALWAYS)
    fleet.start()
    fleet.alice, fleet.bob = fleet.client(alice.token), fleet.client(bob.token)
    fleet.carol = fleet.client(fleet.carol.token)
    return fleet


# ------------------------------------------------------------- V10: enrolling

def test_enrol_and_remove(fleet, admin, unique):
    name = unique("eve")
    eve = fleet.person(name, roles=())
    made = eve.post("/v1/principals/%s/totp" % name, headers={"Idempotency-Key": "enrol"})
    assert made.status == 201 and len(made.json["secret_b32"]) == 32
    uri = made.json["otpauth_uri"]
    assert uri.startswith("otpauth://totp/Aegis:") and "secret=" + made.json["secret_b32"] in uri
    assert eve.ok("GET", "/v1/whoami")["name"] == name
    # shown once: a repeat has no secret, and neither the journal nor the audit log has it anywhere
    again = eve.post("/v1/principals/%s/totp" % name, headers={"Idempotency-Key": "enrol"})
    assert again.status == 201 and again.headers["idempotency-replayed"] == "true"
    assert again.json == {"secret_b32": None, "otpauth_uri": None}
    raw = base64.b32decode(made.json["secret_b32"])
    for folder, _, files in os.walk(fleet.state):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.isfile(path):
                data = open(path, "rb").read()
                assert raw not in data and made.json["secret_b32"].encode() not in data, path
    device = Authenticator(fleet, made.json["secret_b32"])
    assert admin.ok("GET", "/v1/principals/" + name)["totp"] == "pending"
    refused(eve.post("/v1/principals/%s/totp/confirm" % name, {"code": "12345"}), 400, "InvalidField",
            "out_of_range")
    refused(admin.post("/v1/principals/%s/totp/confirm" % name, {"code": device.code()}), 403,
            "PermissionDenied", "scope_missing")
    assert eve.ok("POST", "/v1/principals/%s/totp/confirm" % name, {"code": device.code()})["confirmed_at"]
    assert admin.ok("GET", "/v1/principals/" + name)["totp"] == "confirmed"
    refused(eve.post("/v1/principals/%s/totp" % name), 409, "IllegalOperation", "transition")
    refused(eve.request("DELETE", "/v1/principals/%s/totp?reason=lost" % name), 403, "PermissionDenied",
            "scope_missing")
    gone = admin.request("DELETE", "/v1/principals/%s/totp?reason=lost" % name)
    assert gone.status == 200 and gone.json["totp"] == "none", gone
    assert admin.request("DELETE", "/v1/principals/%s/totp?reason=lost" % name).status == 404


# --------------------------------------------------- V10, F03: the second factor

def test_a_challenge_is_answered_by_itself(guarded):
    """V09: POST /v1/challenges/{id}; then the same request names it, once. Nobody else's, and not another request."""
    fleet, alice = guarded, guarded.alice
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    path = "/v1/challenges/" + chl
    shown = alice.ok("GET", path)
    assert (shown["id"], shown["state"], shown["methods"], shown["tries_left"]) == (chl, "open", ["totp"], 5)
    # Named without an answer it is none.
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers={"Aegis-Step-Up": chl}), 401, "StepUpFailed", "code_wrong")
    # Another person's looks like none; so does what is no challenge.
    for who, where in ((fleet.bob, path), (alice, "/v1/challenges/chl_%032x" % 5), (alice, "/v1/challenges/x")):
        refused(who.get(where), 404, "ItemNotFound", None)
        refused(who.post(where, {"totp": fleet.bobs.code()}), 404, "ItemNotFound", None)
    refused(fleet.client(fleet.agent_token.token).get(path), 403, "PermissionDenied", "not_for_agents")
    refused(alice.post(path, {"totp": "12345"}), 400, "InvalidField", "out_of_range")
    code = fleet.device.code()
    refused(alice.post(path, {"totp": "%06d" % ((int(code) + 1) % 1000000)}), 401, "StepUpFailed", "code_wrong")
    assert alice.ok("POST", path, {"totp": code})["state"] == "answered"
    next_step(fleet)
    refused(alice.post(path, {"totp": fleet.device.code()}), 401, "StepUpFailed", "challenge_spent")
    assert alice.ok("GET", path)["tries_left"] == 3
    refused(alice.post("/v1/keys/vault/sign", {"message_b64": b64(b"y")}, headers={"Aegis-Step-Up": chl}),
            401, "StepUpFailed", "request_changed")
    refused(fleet.bob.post("/v1/keys/vault/sign", SIGN, headers={"Aegis-Step-Up": chl}),
            401, "StepUpFailed", "challenge_expired")
    assert alice.post("/v1/keys/vault/sign", SIGN, headers={"Aegis-Step-Up": chl}).status == 200
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers={"Aegis-Step-Up": chl}), 401, "StepUpFailed",
            "challenge_spent")
    assert alice.ok("GET", path)["state"] == "spent"
    old = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    fleet.move_clock(301)
    wait_for(lambda: alice.get("/v1/challenges/" + old).status == 404, what="its end")
    refused(alice.post("/v1/challenges/" + old, {"totp": fleet.device.code()}), 404, "ItemNotFound", None)


def test_step_up_runs_once(guarded):
    fleet, alice = guarded, guarded.alice
    asked = alice.post("/v1/keys/vault/sign", SIGN)
    refused(asked, 401, "StepUpRequired", None)
    assert asked.json["methods"] == ["totp"] and asked.json["challenge_id"].startswith("chl_")
    assert asked.json["expires_at"].endswith("Z")
    assert asked.headers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", acr_values="urn:aegis:acr:totp"')
    chl = asked.json["challenge_id"]
    code = fleet.device.code()
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, "%06d" % ((int(code) + 1) % 1000000))),
            401, "StepUpFailed", "code_wrong")
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, fleet.bobs.code())), 401,
            "StepUpFailed", "code_wrong")
    refused(fleet.bob.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, fleet.bobs.code())), 401,
            "StepUpFailed", "challenge_expired")
    refused(alice.post("/v1/keys/vault/sign", {"message_b64": b64(b"y")}, headers=step_up(chl, code)), 401,
            "StepUpFailed", "request_changed")
    refused(alice.get("/v1/keys/vault", headers=step_up(chl, code)), 401, "StepUpFailed", "request_changed")
    done = alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, code))
    assert done.status == 200 and done.json["signature_b64"], done
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, code)), 401, "StepUpFailed",
            "challenge_spent")
    # the code is used, for every other challenge too
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, code)), 401, "StepUpFailed", "code_used")
    # what was let through says why in its event
    events = [e for e in fleet.all_events() if e["request_id"] == done.headers["x-request-id"]]
    assert len(events) == 1 and events[0]["outcome"] == "allowed"
    assert events[0]["risk"]["decision"] == "step_up" and events[0]["params"]["step_up"] == asked.json["challenge_id"]
    events = [e for e in fleet.all_events() if e["request_id"] == asked.headers["x-request-id"]]
    assert [e["outcome"] for e in events] == ["denied"] and events[0]["code"] == "StepUpRequired"


def test_step_up_ends(guarded):
    fleet, alice = guarded, guarded.alice
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    for _ in range(5):
        got = alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, "000000"))
        if got.status == 200:  # one in a million
            pytest.skip("000000 was the code")
        refused(got, 401, "StepUpFailed", "code_wrong")
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, fleet.device.code())), 401,
            "StepUpFailed", "challenge_spent")
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    fleet.move_clock(301)
    # iam has seen it when a new challenge ends that much later
    wait_for(lambda: alice.post("/v1/keys/vault/sign", SIGN).json["expires_at"] > text_of(fleet.now() + 290))
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, fleet.device.code())), 401,
            "StepUpFailed", "challenge_expired")
    # a code that was used before a restart is not good after it
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    next_step(fleet)
    code = fleet.device.code()
    assert alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, code)).status == 200
    fleet.stop()
    fleet.start()
    alice = fleet.client(alice.token)
    chl = alice.post("/v1/keys/vault/sign", SIGN).json["challenge_id"]
    refused(alice.post("/v1/keys/vault/sign", SIGN, headers=step_up(chl, code)), 401, "StepUpFailed", "code_used")


def test_step_up_for_whom(guarded):
    refused(guarded.carol.post("/v1/keys/vault/sign", SIGN), 403, "PermissionDenied", "step_up_not_enrolled")
    agent = guarded.client(guarded.agent_token.token)
    refused(agent.post("/v1/keys/vault/sign", SIGN), 403, "PermissionDenied", "risk_step_up")
    refused(guarded.alice.post("/v1/keys/vault/sign", SIGN, headers={"Aegis-Step-Up": "yes"}), 400, "InvalidField",
            "wrong_type")


# -------------------------------------------------------- H04, and the command

def test_bulk_revoke_wants_the_factor(fresh_fleet):
    fleet = fresh_fleet()
    alice = fleet.person("alice")
    agent = fleet.agent(alice, ["key:x:sign"], label="bot")
    ask = {"label": "bot", "reason": "because"}
    device = enrol(fleet, alice, "alice")
    assert alice.ok("POST", "/v1/agents/revoke", dict(ask, dry_run=True))["matched"] == 1
    got = alice.post("/v1/agents/revoke", ask)
    refused(got, 401, "StepUpRequired", None)
    assert agent.get("/v1/whoami").status == 200
    done = alice.post("/v1/agents/revoke", ask, headers=step_up(got.json["challenge_id"], device.code()))
    assert done.status == 200 and done.json["revoked"] == 1, done
    assert agent.get("/v1/whoami").status == 401


def typed(fleet, words, answer, token_file):
    """The command at a terminal: answers its question, gives back (exit status, what it said)."""
    env = dict(os.environ, AEGIS_STATE=fleet.state, XDG_CONFIG_HOME=fleet.state + ".home", NO_COLOR="1")
    pid, tty = pty.fork()
    if pid == 0:
        os.execve(AEGIS, [AEGIS] + words + ["--token-file", token_file], env)
    said, answered, end = b"", False, time.monotonic() + 30
    try:
        while time.monotonic() < end:
            if tty not in select.select([tty], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(tty, 4096)
            except OSError:
                break
            if not part:
                break
            said += part
            if b"Code: " in said and not answered:
                os.write(tty, answer.encode() + b"\n")
                answered = True
    finally:
        os.close(tty)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_command(fresh_fleet, tmp_path):
    fleet = fresh_fleet()
    alice = fleet.person("alice")
    fleet.agent(alice, ["key:x:sign"], label="bot")
    token = tmp_path / "alice.token"
    token.touch(0o600)
    token.write_text(alice.token)
    token = str(token)
    made = fleet.run("principal", "totp", "alice", "--json", token=token, check=0)
    device = Authenticator(fleet, json.loads(made.stdout)["secret_b32"])
    fleet.run("principal", "totp", "alice", "--confirm", "12", token=token, check=2)
    fleet.run("principal", "totp", "alice", "--remove", token=token, check=2)
    next_step(fleet)
    fleet.run("principal", "totp", "alice", "--confirm", device.code(), token=token, check=0)
    words = ["agent", "revoke", "--label", "bot", "--reason", "because"]
    # nobody at a terminal: the refusal, exit 3
    silent = fleet.run(*words, token=token, check=3)
    assert "StepUpRequired" in silent.stderr
    next_step(fleet)
    status, said = typed(fleet, words, device.code(), token)
    assert status == 0 and "second factor" in said, said
    assert fleet.admin().items("/v1/agents?label=bot&state=live") == []
    fleet.run("principal", "totp", "alice", "--remove", "--reason", "lost it", check=0)

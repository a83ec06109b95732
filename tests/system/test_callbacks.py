# SPDX-License-Identifier: Apache-2.0
"""People are told of requests for approval by signed messages, and a signed click
decides: once, as the person who clicked, and never for who asked."""
import hashlib
import hmac
import json
import os
import re
import urllib.parse

import pytest

from conftest import CONFIG, Fleet, b64, wait_for
from test_sink_http import KEY, Receiver, secret
from test_stepup import refused

CLICKS = b"8f742231b10e8888abcd99yyyzzz85a5"
BUTTONS = b"what a sink signs buttons with, alone"
POLICY = """permit (principal, action, resource);
@id("payroll") @approval("leads")
permit (principal, action == Aegis::Action::"key.decrypt", resource == Aegis::Key::"payroll");
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("callbacks")
    receiver = Receiver(str(folder))
    clicks, buttons = secret(folder, CLICKS), secret(folder, BUTTONS)
    row = {"name": "chat", "kind": "slack", "url_file": secret(folder, receiver.url("/services/T0/B0/x").encode()),
           "ca_file": receiver.cert, "key_file": secret(folder, KEY), "callback_file": buttons, "retry_max_s": 1}
    people = [{"user": "U-ALICE", "principal": "alice"}, {"user": "U-DORA", "principal": "dora"},
              {"user": "U-BOB", "principal": "bob"},
              {"user": "U-ROBOT", "principal": "robot"}, {"user": "U-NOBODY", "principal": "nobody"}]
    fleet = Fleet(config=dict(CONFIG, sinks=CONFIG["sinks"] + [row],
                              grants={"rules": [{"scope": "key:payroll:*", "group": "leads", "ttl_max_s": 3600}]},
                              approvals={"ttl_s": 3600, "callback": {"secret_file": clicks, "button_file": buttons,
                                                                     "people": people}}))
    try:
        fleet.start()
        admin = fleet.root = fleet.admin()
        admin.ok("PUT", "/v1/roles/leads", {"scopes": ["system:*:approve"]})
        fleet.alice = fleet.person("alice", roles=("leads",))
        fleet.person("dora", roles=("leads",))
        fleet.bob = fleet.person("bob", roles=("key-admin", "agent-issuer", "leads"))
        admin.ok("POST", "/v1/principals", {"kind": "service", "name": "robot", "roles": ["leads"]})
        fleet.key(fleet.bob, "payroll", spec="AES_256")
        admin.ok("PUT", "/v1/policies/payroll", {"text": POLICY})
        fleet.clerk = fleet.agent(fleet.bob, ["key:payroll:decrypt"], "clerk", ttl_s=86400)
        fleet.receiver, fleet.count = receiver, 0
        yield fleet
    finally:
        fleet.leave()
        receiver.close()


def ask(house, **headers):
    """A new question; its approval, box and the message about it."""
    house.count += 1
    box = house.bob.ok("POST", "/v1/keys/payroll/encrypt", {"plaintext_b64": b64(b"%d" % house.count)})["ciphertext_b64"]
    got = decrypt(house, box, **headers)
    refused(got, 403, "ApprovalRequired", "pending")
    apr = got.json["approval_id"]
    return apr, box, message(house, apr, "asked")


def decrypt(house, box, **headers):
    return house.clerk.post("/v1/keys/payroll/decrypt", {"ciphertext_b64": box}, headers=headers)


def messages(house):
    return [json.loads(body) for _, _, body in list(house.receiver.got)]


def message(house, apr, what):
    def found():
        for m in messages(house):
            facts = m["metadata"]["event_payload"]
            if facts["approval"] == apr and facts["what"] == what:
                return m
    return wait_for(found, 60, what="the message %s of %s" % (what, apr))


def button(m, word):
    (block,) = [b for b in m["blocks"] if b["type"] == "actions"]
    (value,) = [e["value"] for e in block["elements"] if e["action_id"] == word]
    return value


def payload(user, value):
    return {"type": "block_actions", "user": {"id": user, "name": "whoever"}, "team": {"id": "T0"},
            "response_url": "https://hooks.example/1?a=b&c=d+e", "actions": [{"action_id": "approve", "value": value}]}


def form(what):
    return urllib.parse.urlencode({"payload": json.dumps(what)}).encode()


def click(house, body, key=CLICKS, at=None, signature=None, **more):
    stamp = str(int(house.now() if at is None else at))
    mac = hmac.new(key, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": stamp,
               "X-Slack-Signature": signature or "v0=" + mac}
    return house.client().post("/v1/callbacks/approvals", body, headers=dict(headers, **more))


def said(fleet, *answers):
    """What the log says of each click; of those that were nobody's it is in the tenant system."""
    events = dict((e["request_id"], e) for e in fleet.all_events() if e["event_type"] == "request")
    return [events[got.headers["x-request-id"]]["params"].get("click") for got in answers]


# ------------------------------------------------------------------------- V07

def test_messages_say_what_the_server_knows(house):
    apr, box, m = ask(house, **{"Aegis-Reason": "month end\xe9needs: 0 of nobody <!channel>"})
    facts = m["metadata"]["event_payload"]
    assert facts["operation"] == "key.decrypt" and facts["resource"] == "payroll" and facts["needs"] == "1 of leads"
    assert facts["requester"] == house.clerk.id and facts["on behalf of"] == "bob" and facts["kind"] == "agent"
    assert apr in m["text"] and "clerk" not in m["text"] and "mrkdwn" not in json.dumps(m["blocks"])
    (words,) = [b["text"]["text"] for b in m["blocks"] if b["type"] == "section" and "text" in b]
    lines = words.split("\n")
    assert lines[0] == "The requester says of itself (not verified):" and all(l.startswith("| ") for l in lines[1:])
    assert "| reason: month end?needs: 0 of nobody <!channel>" in lines and "| label: clerk" in lines
    # Asked again it is the same question, and nobody is told again.
    refused(decrypt(house, box), 403, "ApprovalRequired", "pending")
    apr2, _, _ = ask(house)
    assert len([m for m in messages(house) if m["metadata"]["event_payload"]["approval"] == apr]) == 1 and apr2 != apr
    for path, headers, body in house.receiver.got:
        mac = hmac.new(KEY, headers["Aegis-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert path == "/services/T0/B0/x" and headers["Aegis-Signature"] == "v1=" + mac
    log = open(house.log, errors="replace").read()
    assert "/services/T0" not in log and CLICKS.decode() not in log


def test_a_message_says_which_scopes_are_asked_for(house):
    """Nobody agrees to what is not shown, whatever the requester says that it is."""
    carol = house.person("carol", roles=())
    got = carol.post("/v1/grants", {"scopes": ["key:payroll:decrypt"], "ttl_s": 600, "reason": "to read a toy"})
    refused(got, 403, "ApprovalRequired", "pending")
    m = message(house, got.json["approval_id"], "asked")
    facts = m["metadata"]["event_payload"]
    assert facts["asked.scopes"] == "key:payroll:decrypt" and facts["asked.ttl_s"] == "600"
    texts = [b["text"]["text"] for b in m["blocks"] if b["type"] == "section" and "text" in b]
    assert texts[0] == "What is asked for:\nscopes: key:payroll:decrypt\nttl_s: 600"
    assert button(m, "approve")


# ------------------------------------------------------------------------- V08

def test_a_click_decides(house):
    apr, box, m = ask(house)
    got = click(house, form(payload("U-ALICE", button(m, "approve"))))
    assert got.status == 200 and got.json["state"] == "approved", got
    assert got.json["decisions"][0]["name"] == "alice"
    (event,) = house.event_of(house.root, got)
    assert event["operation"] == "approval.callback" and event["actor"]["name"] == "alice"
    assert (event["params"]["click"], event["params"]["before"], event["params"]["after"]) == ("accepted", "pending",
                                                                                           "approved")
    assert message(house, apr, "decided")["metadata"]["event_payload"]["state"] == "approved"
    assert decrypt(house, box, **{"Aegis-Approval": apr}).status == 200
    refused(decrypt(house, box, **{"Aegis-Approval": apr}), 403, "ApprovalRequired", "used")
    apr, box, m = ask(house)
    got = click(house, form(payload("U-ALICE", button(m, "deny"))))
    assert got.status == 200 and got.json["state"] == "denied"
    refused(decrypt(house, box), 403, "ApprovalRequired", "denied")
    # A click comes too late for what has ended.
    refused(click(house, form(payload("U-DORA", button(m, "approve")))), 409, "IllegalOperation", "transition")


def test_a_dead_receiver_holds_nobody_up(house):
    """V07: what cannot be sent is sent later, and the question waits for people all the same."""
    receiver = house.receiver
    receiver.answer = lambda body: 503
    box = house.bob.ok("POST", "/v1/keys/payroll/encrypt", {"plaintext_b64": b64(b"later")})["ciphertext_b64"]
    got = decrypt(house, box)
    refused(got, 403, "ApprovalRequired", "pending")
    apr, before = got.json["approval_id"], len(receiver.refused)
    wait_for(lambda: len(receiver.refused) > before + 2, 60, what="the sink to try again")
    assert house.alice.ok("POST", "/v1/approvals/%s/deny" % apr, {})["state"] == "denied"
    receiver.answer = lambda body: 200
    assert message(house, apr, "asked") and message(house, apr, "decided")


def test_what_is_no_click_looks_the_same(house):
    apr, box, m = ask(house)
    yes = button(m, "approve")
    other = re.sub("apr_[0-9a-f]{32}", ask(house)[0], yes)
    good, now = form(payload("U-ALICE", yes)), house.now()
    stale = hmac.new(CLICKS, b"v0:%d:" % (now - 301) + good, hashlib.sha256).hexdigest()
    tries = [
        ("forged", lambda: click(house, good, key=b"another secret of sixteen")),
        ("forged", lambda: click(house, good, signature="v0=" + "0" * 64)),
        ("forged", lambda: click(house, good, signature="v1=x")),
        ("forged", lambda: click(house, good, at=now - 301, signature="v0=" + stale[:-1] + "g")),
        ("forged", lambda: click(house, good, key=BUTTONS)),  # a sink does not speak for who sends clicks on
        ("altered", lambda: click(house, good + b"&payload=%7B%7D")),
        ("altered", lambda: click(house, b"\xff%zz")),
        ("altered", lambda: click(house, b"payload=%zz")),
        ("forged", lambda: house.client().post("/v1/callbacks/approvals", {"payload": "{}"})),
        ("forged", lambda: house.client().post("/v1/callbacks/approvals")),
        ("forged", lambda: house.alice.post("/v1/callbacks/approvals", {"payload": json.dumps(payload("U-ALICE", yes))})),
        ("expired", lambda: click(house, good, at=now - 400)),
        ("expired", lambda: click(house, good, at=now + 400)),
        ("altered", lambda: click(house, form(payload("U-ALICE", other)))),
        ("altered", lambda: click(house, form(payload("U-ALICE", yes.replace(".approve.", ".deny."))))),
        ("altered", lambda: click(house, form(payload("U-ALICE", yes.rsplit(".", 1)[0])))),
        ("altered", lambda: click(house, form(dict(payload("U-ALICE", yes), type="view_submission")))),
        ("altered", lambda: click(house, form({"actions": []}))),
        ("altered", lambda: click(house, b"payload=" + urllib.parse.quote("[" * 5000).encode())),
        ("unknown_person", lambda: click(house, form(payload("U-EVE", yes)))),
        ("unknown_person", lambda: click(house, form(payload("U-ROBOT", yes)))),
        ("unknown_person", lambda: click(house, form(payload("U-NOBODY", yes)))),
    ]
    answers = [attempt() for _, attempt in tries]
    seen = set(json.dumps([got.status, dict(got.json, request_id=None), got.headers.get("www-authenticate")], sort_keys=True)
               for got in answers)
    assert [got.status for got in answers] == [401] * len(tries)
    assert said(house, *answers) == [why for why, _ in tries]
    assert len(seen) == 1, "outside one refusal is like another"
    assert house.alice.ok("GET", "/v1/approvals/" + apr)["state"] == "pending"
    # The good one counts once, and not again.
    stamp = house.now()
    assert click(house, good, at=stamp).status == 200
    got = click(house, good, at=stamp)
    assert got.status == 401 and said(house, got) == ["replayed"]


def test_nobody_clicks_for_themselves(house):
    """bob is in the role and above the agent that asks."""
    apr, _, m = ask(house)
    refused(click(house, form(payload("U-BOB", button(m, "approve")))), 403, "PermissionDenied", "own_request")
    refused(click(house, form(payload("U-BOB", button(m, "deny")))), 403, "PermissionDenied", "own_request")
    assert house.alice.ok("GET", "/v1/approvals/" + apr)["decisions"] == []


def test_a_reminder_and_the_end(house):
    apr, box, m = ask(house)
    house.move_clock(3400)
    again = message(house, apr, "reminded")
    assert again["metadata"]["event_payload"]["needs"] == "1 of leads" and button(again, "deny") == button(m, "deny")
    house.move_clock(300)
    assert message(house, apr, "expired")["metadata"]["event_payload"]["state"] == "expired"
    got = click(house, form(payload("U-ALICE", button(m, "approve"))))
    assert got.status == 401 and said(house, got) == ["expired"]
    assert [m["metadata"]["event_payload"]["what"] for m in messages(house)
            if m["metadata"]["event_payload"]["approval"] == apr] == ["asked", "reminded", "expired"]


def test_off_unless_configured(fleet):
    got = fleet.client().post("/v1/callbacks/approvals", form(payload("U-ALICE", "v1.x")),
                              headers={"Content-Type": "application/x-www-form-urlencoded"})
    refused(got, 401, "Unauthenticated", "token_signature")
    assert said(fleet, got) == ["off"]


@pytest.mark.parametrize("wrong", ["mode", "short", "twice", "same", "missing"])
def test_a_wrong_configuration_does_not_start(fresh_fleet, tmp_path, wrong):
    path = secret(tmp_path, b"short" if wrong == "short" else CLICKS, 0o644 if wrong == "mode" else 0o600)
    row = {"user": "U1", "principal": "alice"}
    buttons = {} if wrong == "missing" else {"button_file": path if wrong == "same" else secret(tmp_path, BUTTONS)}
    fleet = fresh_fleet(dict(CONFIG, approvals={"callback": dict(buttons, secret_file=path, people=[row, row]
                                                                  if wrong == "twice" else [row])}), start=False)
    with pytest.raises(AssertionError):
        fleet.start(20)
    assert ("named twice" if wrong == "twice" else "CALLBACK-SECRET") in fleet.tail(400)
    assert os.path.exists(path)

# SPDX-License-Identifier: Apache-2.0
"""An Open Policy Agent that is asked besides: only a clear yes in time is one, and its decision's id is in the log."""
import http.server
import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from conftest import ROOT, b64, wait_for
from test_policy import put

REGO = os.path.join(ROOT, "examples", "opa", "aegis.rego")
# The same in Cedar.
CEDAR = """
permit (principal in Aegis::Role::"admin", action, resource);
permit (principal, action in Aegis::Action::"read", resource is Aegis::Key);
permit (principal, action == Aegis::Action::"key.sign", resource is Aegis::Key)
when { resource.hasTag("env") && resource.getTag("env") == "test" };
permit (principal is Aegis::Human, action == Aegis::Action::"key.rotate", resource is Aegis::Key)
when { resource.hasTag("team") && resource.getTag("team") == "a" };
"""
ALL = "permit (principal, action, resource);"
READS = {"key.read", "key.public-key"}


def by_hand(asked):
    """examples/opa/aegis.rego, where there is no OPA to run it."""
    labels = asked["resource"]["labels"]
    return ("admin" in asked["principal"]["roles"] or
            (asked["resource"]["type"] == "key" and asked["action"] in READS) or
            (asked["action"] == "key.sign" and labels.get("env") == "test") or
            (asked["action"] == "key.rotate" and asked["principal"]["chain"][0]["kind"] == "human" and
             labels.get("team") == "a"))


class Stub:
    """Answers as OPA does; mode: how well."""
    def __init__(self):
        self.mode, self.asked, self.go = "yes", [], threading.Event()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.asked.append((body["input"], self.headers.get("authorization")))
                if stub.mode == "gone":
                    self.close_connection = True  # without a word
                    return
                status, answer = stub.answer(body["input"])
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass  # whoever asked is gone

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *words: None  # who did not wait for the answer
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/v1/data/aegis/allow" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, asked):
        number = "dec-%d" % len(self.asked)
        if self.mode == "slow":
            self.go.wait(30)
        return {"yes": (200, {"result": True, "decision_id": number}),
                "slow": (200, {"result": True, "decision_id": number}),
                "no": (200, {"result": False, "decision_id": number}),
                "rules": (200, {"result": {"allow": by_hand(asked)}, "decision_id": number}),
                "undefined": (200, {"decision_id": number}),
                "word": (200, {"result": "true"}),
                "status": (500, {"result": True}),
                "garbage": (200, b"<html>yes</html>"),
                "long": (200, b'{"result": true, "x": "' + b"x" * 100000 + b'"}')}[self.mode]

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def opa(tmp_path):
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture
def asked(fresh_fleet, opa, tmp_path):
    secret = tmp_path / "opa.token"
    secret.write_text("s3cret-of-opa")
    secret.chmod(0o600)
    return fresh_fleet({"opa": {"url": opa.url, "timeout_ms": 1000, "token_file": str(secret)}})


def clear(ask):
    """The answer, once OPA had the time to say something: this machine may be busy."""
    end = time.monotonic() + 30
    while True:
        got = ask()
        if got.status != 403 or got.reason != "evaluator_unavailable" or time.monotonic() > end:
            return got
        time.sleep(0.05)


def event(opa, admin, answer):
    """The one of this answer's request; to read it, OPA has to say yes."""
    mode, opa.mode = opa.mode, "yes"

    def read():
        got = admin.get("/v1/audit?request_id=" + answer.headers["x-request-id"])
        return got.status == 200 and [e for e in got.json["items"] if e["event_type"] == "request"]
    found = wait_for(read, 30, what="the event")
    opa.mode = mode
    return found[0]


def test_it_can_only_take_away(asked, opa):
    fleet, admin = asked, asked.admin()
    key = clear(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "k", "activate": True,
                                                "labels": {"env": "test"}}))
    assert key.status == 201, key
    sign = lambda: admin.post("/v1/keys/k/sign", {"message_b64": b64(b"x")})
    good = clear(sign)
    assert good.status == 200
    said, bearer = opa.asked[-1]
    assert bearer == "Bearer s3cret-of-opa"
    assert (said["action"], said["resource"]["name"], said["resource"]["labels"]) == ("key.sign", "k", {"env": "test"})
    assert said["principal"]["chain"][0]["name"] == "admin" and said["principal"]["roles"] == ["admin"]
    assert said["context"]["plane"] == "rest" and said["context"]["source"] == "127.0.0.1"
    assert event(opa, admin, good)["params"]["opa_decision_id"].startswith("dec-")
    opa.mode = "no"
    no = clear(sign)
    assert (no.status, no.reason, no.json["rule"]) == (403, "evaluator_denied", "opa"), no
    said = event(opa, admin, no)
    assert said["rule"] == "opa" and said["params"]["opa_decision_id"].startswith("dec-")
    for mode in ("undefined", "word", "status", "garbage", "long"):
        opa.mode = mode
        got = sign()
        assert (got.status, got.reason, got.json["rule"]) == (403, "evaluator_unavailable", "opa"), (mode, got)
    # It is not asked about policies: those can be mended whatever it says. Ours come first.
    assert put(admin, "base", "forbid (principal, action == Aegis::Action::\"key.sign\", resource);" + ALL).status == 200
    opa.mode, before = "yes", len(opa.asked)
    got = sign()
    assert got.reason == "no_matching_rule" and len(opa.asked) == before
    assert admin.request("PUT", "/v1/policies/base", {"text": ALL}).status == 200
    # Gone is no, and so is too slow.
    opa.mode = "gone"
    assert sign().reason == "evaluator_unavailable"
    opa.mode = "slow"
    assert sign().reason == "evaluator_unavailable"
    opa.go.set()
    opa.mode = "yes"
    assert clear(sign).status == 200


def vectors(fleet, who, agent):
    """Fifty requests, and whether policies let each go on."""
    answers = {}
    for key in ("t-a", "t-b", "p-a", "p-b", "bare"):
        for name, client in (("alice", who), ("agent", agent)):
            for op, method, path, body in (
                    ("sign", "POST", "/sign", {"message_b64": b64(b"x")}), ("rotate", "POST", "/rotate", {}),
                    ("verify", "POST", "/verify", {"message_b64": b64(b"x"), "signature_b64": b64(b"y")}),
                    ("read", "GET", "", None), ("public-key", "GET", "/public-key", None)):
                got = clear(lambda: client.request(method, "/v1/keys/" + key + path, body))
                assert got.status in (200, 201) or got.reason in ("no_matching_rule", "evaluator_denied"), got
                answers[key, name, op] = got.status < 300
    return answers


def test_the_same_vectors(asked, opa):
    """What Cedar says of fifty requests, the same rules in Rego say."""
    fleet, admin = asked, asked.admin()
    labels = {"t-a": {"env": "test", "team": "a"}, "t-b": {"env": "test", "team": "b"},
              "p-a": {"env": "prod", "team": "a"}, "p-b": {"env": "prod", "team": "b"}, "bare": {}}
    for alias, has in labels.items():
        made = clear(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": alias, "activate": True, "labels": has}))
        assert made.status == 201, made
    alice = fleet.person("alice", roles=["key-admin", "key-user", "agent-issuer"])
    agent = fleet.agent(alice, ["key:%s:%s" % (alias, op) for alias in labels
                                for op in ("sign", "verify", "read", "public-key", "rotate")])
    put(admin, "base", CEDAR)
    cedar = vectors(fleet, alice, agent)
    assert len(cedar) == 50 and 0 < sum(cedar.values()) < 50
    put(admin, "base", ALL)
    opa.mode = "rules"
    assert vectors(fleet, alice, agent) == cedar
    if shutil.which("opa") is None:
        return
    # The rules themselves, where there is an OPA.
    for said, _ in opa.asked[-50:]:
        done = subprocess.run(["opa", "eval", "-d", REGO, "-I", "--format=raw", "data.aegis.allow"],
                              input=json.dumps(said), capture_output=True, text=True, check=True)
        assert (done.stdout.strip() == "true") == by_hand(said), said


def test_what_ends_something_is_apart(fresh_fleet, opa, tmp_path):
    """Its own scope, which no star stands for, and the hook's clear yes; who has the ordinary scope alone does not."""
    secret = tmp_path / "hook.token"
    secret.write_text("s3cret-of-hook")
    secret.chmod(0o600)
    fleet = fresh_fleet({"break_glass": {"destructive": True},
                         "opa": {"hook_url": opa.url, "hook_timeout_ms": 1000, "hook_token_file": str(secret)}})
    admin = fleet.admin()
    admin.ok("PUT", "/v1/roles/ender", {"scopes": ["key:*:*", "principal:*:*", "system:*:break-glass"]})
    keeper, ender = fleet.person("keeper", roles=["key-admin"]), fleet.person("ender", roles=["ender"])
    for alias in ("k", "l"):
        fleet.key(admin, alias, activate=False)
    destroy = lambda who, key="k": who.post("/v1/keys/%s/destroy" % key, {"reason": "old"})
    for who in (keeper, admin):
        no = destroy(who)
        assert (no.status, no.reason, no.json["rule"]) == (403, "break_glass_scope_missing", "break-glass"), no
        assert "system:*:break-glass" in no.json["hint"]
    no = admin.request("DELETE", "/v1/principals/keeper?reason=x")
    assert (no.status, no.reason) == (403, "break_glass_scope_missing")
    assert admin.ok("POST", "/v1/authz/check", {"action": "key.destroy", "resource": "k"})["rule"] == "break-glass"
    assert opa.asked == []  # scopes come first
    assert keeper.post("/v1/keys/k/activate", {}).status == 200 and opa.asked == []
    opa.mode = "no"
    fleet.key(admin, "m", activate=False)
    no = clear_hook(lambda: destroy(ender, "m"))
    assert (no.status, no.reason, no.json["rule"]) == (403, "hook_denied", "opa.hook"), no
    said, bearer = opa.asked[-1]
    assert bearer == "Bearer s3cret-of-hook" and said["action"] == "key.destroy"
    for mode in ("undefined", "status", "garbage", "gone", "slow"):
        opa.mode = mode
        no = destroy(ender, "m")
        assert (no.status, no.reason) == (403, "hook_unavailable"), (mode, no)
    said = fleet.event_of(admin, no)[0]
    assert (said["outcome"], said["rule"]) == ("denied", "opa.hook")
    opa.go.set()
    opa.mode = "yes"
    assert clear_hook(lambda: destroy(ender, "m")).status == 200


def clear_hook(ask):
    """The answer, once the hook had the time to say something."""
    end = time.monotonic() + 30
    while True:
        got = ask()
        if got.status != 403 or got.reason != "hook_unavailable" or time.monotonic() > end:
            return got
        time.sleep(0.05)


def test_without_it_nobody_is_asked(fleet, admin):
    assert "opa" not in fleet.processes() and "policies" not in fleet.processes()
    assert admin.get("/v1/keys").status == 200


def test_configuration(fleet, tmp_path):
    config = tmp_path / "c.yaml"
    for text, said in (("{url: \"http://opa.example/v1/data/a\"}", "https://"), ("{url: ftp://x}", "https://"),
                       ("{url: \"https://x\", timeout_ms: 0}", "from 1 to 1000"),
                       ("{hook_url: \"http://hook.example/\"}", "https://"),
                       ("{hook_url: \"https://x\"}", "break_glass.destructive")):
        config.write_text("opa: %s\n" % text)
        got = fleet.run("config", "check", str(config))
        assert got.returncode == 2 and said in got.stderr, got

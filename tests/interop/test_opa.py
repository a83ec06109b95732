# SPDX-License-Identifier: Apache-2.0
"""A real Open Policy Agent, built from its source at one version, with examples/opa/aegis.rego: it allows, denies, is
slow, and is gone."""
import os
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from conftest import BUILD, CONFIG, Fleet, b64, wait_for
from test_policy import put
from test_policy_opa import ALL, CEDAR, REGO, clear, vectors

OPA = "github.com/open-policy-agent/opa@v1.4.2"
GO = os.path.join(BUILD, "interop", "go")


@pytest.fixture(scope="module")
def opa():
    """The program; go checks what it fetches against sum.golang.org."""
    program = os.path.join(GO, "bin", "opa-" + OPA.rsplit("@", 1)[1])
    if not os.path.exists(program):
        if shutil.which("go") is None:
            pytest.skip("there is no go to build OPA with")
        env = dict(os.environ, GOPATH=GO, GOCACHE=os.path.join(GO, "cache"), GOFLAGS="-modcacherw", CGO_ENABLED="0")
        done = subprocess.run(["go", "install", OPA], env=env, capture_output=True, text=True, timeout=1500)
        if done.returncode != 0:
            pytest.skip("go does not build OPA here: " + done.stderr[-300:])
        os.rename(os.path.join(GO, "bin", "opa"), program)
    return program


class Server:
    def __init__(self, program):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % probe.getsockname()[1]
        self.url = "http://%s/v1/data/aegis/allow" % self.address
        self.process = subprocess.Popen(
            [program, "run", "--server", "--addr", self.address, "--disable-telemetry", "--log-level", "error",
             "--set", "decision_logs.console=true", REGO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, 60, what="OPA to answer")

    def answers(self):
        try:
            return urllib.request.urlopen("http://%s/health" % self.address, timeout=5).status == 200
        except OSError:
            return False

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def server(opa):
    server = Server(opa)
    yield server
    if server.process.returncode is None:
        server.close()


@pytest.fixture
def fleet(server):
    fleet = Fleet(config=dict(CONFIG, opa={"url": server.url, "timeout_ms": 1000}))
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.leave()


def test_what_cedar_says_rego_says(fleet, server):
    """Fifty requests by the same rules; the decision's id is in the event; slow is a no, and so is gone."""
    admin = fleet.admin()
    labels = {"t-a": {"env": "test", "team": "a"}, "t-b": {"env": "test", "team": "b"},
              "p-a": {"env": "prod", "team": "a"}, "p-b": {"env": "prod", "team": "b"}, "bare": {}}
    for alias, has in labels.items():
        made = clear(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": alias, "activate": True, "labels": has}))
        assert made.status == 201, made
    alice = fleet.person("alice", roles=["key-admin", "key-user", "agent-issuer", "admin"])
    agent = clear_agent(fleet, alice, ["key:%s:%s" % (alias, op) for alias in labels
                                       for op in ("sign", "verify", "read", "public-key", "rotate")])
    # From here on she is nobody to whom the rules say yes to everything.
    assert clear(lambda: admin.request("DELETE", "/v1/principals/alice/roles/admin")).status == 200
    rego = vectors(fleet, alice, agent)
    put(admin, "base", CEDAR)
    names = {"alice": "alice", "agent": agent.id}
    asked = [{"principal": names[who], "action": "key." + op, "resource": key} for key, who, op in rego]
    said = admin.ok("POST", "/v1/authz/bulk-check", {"items": asked})["items"]
    assert len(rego) == 50 and 0 < sum(rego.values()) < 50
    assert [answer["result"]["allowed"] for answer in said] == list(rego.values())
    put(admin, "base", ALL)
    sign = lambda: agent.post("/v1/keys/t-a/sign", {"message_b64": b64(b"x")})
    assert clear(sign).status == 200
    no = clear(lambda: agent.post("/v1/keys/p-a/sign", {"message_b64": b64(b"x")}))
    assert (no.status, no.reason, no.json["rule"]) == (403, "evaluator_denied", "opa"), no
    event = fleet.event_of(admin, no)[0]
    assert event["params"]["opa_decision_id"] and event["outcome"] == "denied"
    server.process.send_signal(signal.SIGSTOP)  # slow
    slow = sign()
    assert (slow.status, slow.reason) == (403, "evaluator_unavailable"), slow
    server.process.send_signal(signal.SIGCONT)
    assert clear(sign).status == 200
    server.close()  # gone
    gone = sign()
    assert (gone.status, gone.reason) == (403, "evaluator_unavailable"), gone


def clear_agent(fleet, alice, scopes):
    """An agent of hers, once OPA had the time to say something."""
    made = clear(lambda: alice.post("/v1/agents/issue", {"label": "agent", "scopes": scopes}))
    assert made.status == 201, made
    agent = fleet.client(made.json["token"])
    agent.id = made.json["agent_id"]
    return agent

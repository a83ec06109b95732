# SPDX-License-Identifier: Apache-2.0
"""Tool servers that come and go by API while the fleet runs: callable and gone within seconds, secrets by name only."""
import ctypes
import json
import os
import subprocess
import threading

import pytest

from conftest import BUILD, SANITIZED, Fleet, wait_for
from mcp_client import CONFIG_MCP, Mcp, McpThen
from tool_server import NOW, ToolServer, text, tool

SECRET = "added-secret-2b9d7e1f40c86a35"
SOON_S = 30  # W16 says 5; what is asserted here is that it comes


def put_secret(fleet, name, secret, mode=0o600, tenant="default"):
    folder = os.path.join(fleet.state, "tool-secrets", tenant)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.open(os.path.join(folder, name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as file:
        file.write(secret + "\n")


@pytest.fixture(scope="module")
def yard():
    box = ToolServer([tool("get"), tool("wipe"), tool("drop", annotations={"destructiveHint": True})], version=NOW, secret=SECRET)
    fixed = ToolServer([tool("get")])
    fleet = Fleet(config=dict(json.loads(json.dumps(CONFIG_MCP)), gateway={
        "enabled": True, "refresh_s": 1, "breaker_s": 3600, "servers": [{"name": "fixed", "url": fixed.url}]}))
    try:
        fleet.start()
        fleet.root, fleet.box = fleet.admin(), box
        put_secret(fleet, "box", SECRET)
        yield fleet
    finally:
        fleet.leave()
        box.leave()
        fixed.leave()


def row(server, **more):
    return dict({"url": server.url, "protocol": server.version}, **more)


def wait_callable(fleet, name, path):
    def there():
        got = fleet.root.get("/v1/tools?server=" + name)
        return got.status == 200 and [t for t in got.json["items"] if t["name"] == path and t["state"] == "accepted"]
    return wait_for(there, SOON_S, what=path)


def call(who, name, **arguments):
    return who.ask("tools/call", {"name": name, "arguments": arguments}).json["result"]


def test_one_is_added_called_changed_and_taken_away(yard):
    shown = yard.root.ok("PUT", "/v1/tool-servers/box", row(yard.box, secret="box", rules=[
        {"tool": "wipe", "risk": "destructive"}, {"tool": "get", "risk": "read", "redact": ["serial"]}]))
    assert shown["name"] == "box" and shown["source"] == "api" and shown["revision"] == 1 and shown["state"] == "down"
    (tool_get,) = wait_callable(yard, "box", "box/get")
    assert tool_get["risk"] == "read"
    who = Mcp(yard, yard.agent(yard.root, ["tool:label=server=box:call"]).token)
    wait_for(lambda: "box__get" in who.tools(), SOON_S, what="the tool on the plane")
    assert [n for n in who.tools() if "__" in n] == ["box__get"]  # the destructive ones are allowed by nobody
    yard.box.answer = lambda name, arguments: text("hello", serial="12345", said=SECRET)
    got = call(who, "box__get")
    assert got["isError"] is False and got["structuredContent"]["serial"] != "12345"
    assert SECRET not in json.dumps(got)
    assert "destructive" in json.dumps(call(who, "box__wipe"))
    names = {s["name"]: s for s in yard.root.ok("GET", "/v1/tool-servers")["items"]}
    assert names["fixed"]["source"] == "configuration" and names["box"]["state"] == "up"
    # Changed: whoever looked at an older one is told, and what is allowed now is what the last one said.
    etag = str(yard.root.ok("GET", "/v1/tool-servers/box")["revision"])
    assert yard.root.request("PUT", "/v1/tool-servers/box", row(yard.box, secret="box"),
                             headers={"If-Match": '"1"'}).status == (412 if etag != "1" else 200)
    yard.root.ok("PUT", "/v1/tool-servers/box", row(yard.box, secret="box", rules=[
        {"tool": "wipe", "risk": "destructive", "allow": True}]), headers={"If-Match": '"%s"' % etag})
    wait_callable(yard, "box", "box/wipe")
    wait_for(lambda: "box__wipe" in who.tools(), SOON_S, what="the tool that is allowed now")
    assert call(who, "box__wipe")["isError"] is False
    # Taken away while a call is under way: that one ends well, the next finds nothing.
    yard.box.slow_s, before = 1.0, len(yard.box.calls)
    ends = []
    slow = threading.Thread(target=lambda: ends.append(call(Mcp(yard, who.http.token), "box__get")))
    slow.start()
    wait_for(lambda: len(yard.box.calls) > before, SOON_S, what="the call to be under way")
    gone = yard.root.ok("DELETE", "/v1/tool-servers/box?reason=moved")
    assert gone["state"] == "gone"
    slow.join(SOON_S)
    yard.box.slow_s = 0
    assert ends and ends[0]["isError"] is False, ends
    assert yard.root.get("/v1/tool-servers/box").status == 404
    assert yard.root.request("DELETE", "/v1/tool-servers/box?reason=again").status == 404
    refused = json.loads(call(who, "box__get")["content"][0]["text"])
    assert refused["code"] == "ItemNotFound"
    wait_for(lambda: not [n for n in who.tools() if "__" in n], SOON_S, what="the list without it")
    operations = [(e["operation"], e["outcome"]) for e in yard.events(yard.root, "operation=tool.delete")]
    assert ("tool.delete", "allowed") in operations


def test_what_was_added_is_there_after_a_restart(yard):
    """And what was accepted of it still is: a tool that changed while it was away stands still."""
    other = ToolServer([tool("get")])
    try:
        yard.root.ok("PUT", "/v1/tool-servers/kept", row(other))
        wait_callable(yard, "kept", "kept/get")
        yard.root.ok("DELETE", "/v1/tool-servers/kept?reason=for+now")
        other.tools[0]["description"] = "Now it does something else."
        yard.root.ok("PUT", "/v1/tool-servers/kept", row(other))

        def state():
            got = yard.root.get("/v1/tool-servers/kept")
            return got.status == 200 and [t["state"] for t in got.json["tools"]]
        wait_for(lambda: state() == ["changed"], SOON_S, what="the tool to stand still")
        yard.stop()
        yard.start()
        yard.root = yard.admin()
        wait_for(lambda: state() == ["changed"], SOON_S, what="the same after a restart")
        yard.root.ok("POST", "/v1/tool-servers/kept/accept", {"reason": "read it"})
        wait_callable(yard, "kept", "kept/get")
    finally:
        other.leave()


def test_who_may_and_what_is_refused(yard):
    def put(name="bad", who=None, **body):
        return (who or yard.root).request("PUT", "/v1/tool-servers/" + name, dict({"url": "https://tools.example/mcp"}, **body))

    def field(got):
        assert (got.status, got.code) == (400, "InvalidField"), got
        return got.json["field"]
    agent = yard.client(yard.agent(yard.root, ["key:a:sign"]).token)
    assert put(who=agent).status == 403
    nobody = yard.person("nobody", roles=())
    assert put(who=nobody).status == 403 and nobody.get("/v1/tool-servers").status == 403
    for url in ("http://tools.example/mcp", "ftp://127.0.0.1/x", "https://user:secret@tools.example/mcp", "https:///x",
                "https://tools.example/mcp?key=secret", "https://tools.example/#f", "http://127.0.0.1@evil.example/",
                "http://localhost.evil.example/", "https://a b/", "https://tools.example/" + "x" * 600, ""):
        assert field(put(url=url)) == "/url", url
    assert field(put(protocol="2024-11-05")) == "/protocol"
    assert field(put(risk="harmless")) == "/risk"
    assert field(put(timeout_ms=1)) == "/timeout_ms"
    assert field(put(concurrency=1000)) == "/concurrency"
    assert field(put(response_bytes=10)) == "/response_bytes"
    assert field(put(rules=[{"tool": "a", "risk": "mild"}])) == "/rules"
    assert field(put(rules=[{"tool": "a"}, {"tool": "a"}])) == "/rules"
    assert field(put(secret_header="X-Key")) == "/secret_header"
    # A secret is a name, its file the operator's: no path, no clear text, nothing that others can read.
    for name in ("../../admin.token", "/etc/passwd", ".hidden", "nowhere", "a/b", ""):
        assert field(put(secret=name)) == "/secret", name
    put_secret(yard, "open", SECRET, mode=0o644)
    assert field(put(secret="open")) == "/secret"
    put_secret(yard, "theirs", SECRET, tenant="other")
    assert field(put(secret="theirs")) == "/secret"
    assert put(name="Bad_Name").status == 400 and put(name="x" * 21).status == 400
    assert put(name="fixed").status == 409
    assert yard.root.request("DELETE", "/v1/tool-servers/fixed?reason=x").status == 409
    assert yard.root.get("/v1/tool-servers/bad").status == 404
    # As many as there may be.
    for i in range(40):
        got = put(name="many-%d" % i, url="http://127.0.0.1:1/mcp")
        if got.status != 200:
            break
    assert (got.status, got.code) == (409, "IllegalOperation") and 0 < i <= 16
    for k in range(i):
        assert yard.root.request("DELETE", "/v1/tool-servers/many-%d?reason=x" % k).status == 200


def certificate(folder, name):
    cert, key = str(folder / (name + ".pem")), str(folder / (name + ".key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


def test_a_private_authority_and_rules(yard, tmp_path):
    """A server whose certificate nobody else trusts is trusted by who names its authority, and by nobody else; what may
    be done with its tools is said by the command."""
    ours, strangers = certificate(tmp_path, "ours"), certificate(tmp_path, "strangers")
    server = ToolServer([tool("get"), tool("wipe"), tool("drop")], version=NOW, tls=ours)
    try:
        def add(*more, check=0):
            return yard.run("tool", "add", "tls", "--url", server.url, "--protocol", NOW, *more, check=check)
        shown = lambda: yard.root.ok("GET", "/v1/tool-servers/tls")  # noqa: E731
        for ca in ([], ["--server-ca", strangers[0]]):
            add(*ca)
            wait_for(lambda: shown()["last_error"], SOON_S, what="trouble to be told")
            assert shown()["last_error"] == "it cannot be reached" and server.lists == 0
        add("--server-ca", ours[0], "--rule", "get read redact=serial,code", "--rule", "wipe destructive",
            "--rule", " drop  destructive allow timeout_ms=700 ", "--concurrency", "2")
        wait_callable(yard, "tls", "tls/get")
        tools = {t["name"]: (t["risk"], t["why"]) for t in shown()["tools"]}
        assert tools["tls/get"] == ("read", None) and tools["tls/drop"] == ("destructive", None)
        assert tools["tls/wipe"][0] == "destructive" and tools["tls/wipe"][1]
        server.answer = lambda name, arguments: text("done", serial="12345", code="67890", size=3)
        who = Mcp(yard, yard.agent(yard.root, ["tool:label=server=tls:call"]).token)
        wait_for(lambda: "tls__get" in who.tools(), SOON_S, what="the tool on the plane")
        content = call(who, "tls__get")["structuredContent"]
        assert content["size"] == 3 and content["serial"] != "12345" and content["code"] != "67890"
        server.slow_s = 3
        assert json.loads(call(who, "tls__drop")["content"][0]["text"])["code"] == "DeadlineExceeded"
        # What is no rule is said before anything is asked.
        for bad in ("", "get mild", "get read write", "get timeout_ms=", "get timeout_ms=5s", "get allow=yes"):
            assert "--rule" in add("--rule", bad, check=2).stderr, bad
        add("--rule", "get", "--rule", "get", check=2)
        # Certificates, and nothing else that looks like some.
        whole = open(ours[0]).read()
        for pem in ("", "x", open(ours[1]).read(), whole[:200], whole + whole[:200], whole.replace("M", "A", 3), whole * 40):
            got = yard.root.request("PUT", "/v1/tool-servers/tls", {"url": server.url, "ca_pem": pem})
            assert (got.status, got.json["field"]) == (400, "/ca_pem"), (got, pem)
        yard.root.ok("DELETE", "/v1/tool-servers/tls?reason=done")
    finally:
        server.leave()


class Stateful(ToolServer):
    """A replica that counts for each of its sessions, and knows no other's."""

    def __init__(self):
        super().__init__([tool("count")])
        self.sessions, self.dead = {}, False

    def die(self):
        self.dead = True
        self.leave()

    def post(self, handler, body):
        if self.dead:
            handler.close_connection = True
            return handler.connection.close()
        asked = json.loads(body)
        mine = handler.headers.get("MCP-Session-Id")
        if asked["method"] == "initialize":
            with self.lock:
                mine = "%d-%d" % (self.port, len(self.sessions))
                self.sessions[mine] = 0
            return self.result(handler, asked, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                                "serverInfo": {"name": "t", "version": "1"}}, mine)
        if mine not in self.sessions:
            return self.say(handler, 404)
        if "id" not in asked:
            return self.say(handler, 202)
        if asked["method"] == "tools/list":
            return self.result(handler, asked, {"tools": list(self.tools)})
        self.sessions[mine] += 1
        self.result(handler, asked, text("counted", session=mine, at=self.port, count=self.sessions[mine]))


def test_a_session_stays_at_its_replica(yard):
    """W22: 100 sessions, three replicas: each at one until that dies; then its client is told, and counts anew elsewhere."""
    replicas = [Stateful() for _ in range(3)]
    try:
        yard.root.ok("PUT", "/v1/tool-servers/state", {
            "url": replicas[0].url, "replicas": [r.url for r in replicas[1:]], "stateful": True, "concurrency": 64})
        wait_callable(yard, "state", "state/count")
        token = yard.agent(yard.root, ["tool:state/count:call"]).token
        wait_for(lambda: "state__count" in Mcp(yard, token).tools(), SOON_S, what="the tool on the plane")
        clients = [McpThen(yard, token) for _ in range(100)]

        def count(client):
            got = call(client, "state__count")
            return got["structuredContent"] if not got["isError"] else json.loads(got["content"][0]["text"])
        first = [count(c) for c in clients]
        assert {f["count"] for f in first} == {1} and len({f["session"] for f in first}) == 100
        assert {f["at"] for f in first} == {r.port for r in replicas}
        for n in (2, 3):
            again = [count(c) for c in clients]
            assert [(a["at"], a["session"], a["count"]) for a in again] == [(f["at"], f["session"], n) for f in first]
        gone = replicas[1]
        gone.die()
        for client, was in zip(clients, first):
            got = count(client)
            if was["at"] != gone.port:
                assert (got["at"], got["session"], got["count"]) == (was["at"], was["session"], 4), got
                continue
            assert (got["code"], got["reason_code"]) == ("Conflict", "session_lost"), got
            anew = count(client)
            assert anew["at"] != gone.port and anew["count"] == 1, anew
            assert count(client) == dict(anew, count=2)
        # Another's session is nobody's by its name: who calls counts, too.
        other = yard.agent(yard.root, ["tool:state/count:call"], "other").token
        assert count(McpThen(yard, other))["count"] == 1
    finally:
        yard.root.request("DELETE", "/v1/tool-servers/state?reason=done")
        for r in replicas:
            if not r.dead:
                r.leave()


@pytest.mark.skipif(ctypes.CDLL(None).syscall(444, None, 0, 1) <= 0, reason="this kernel has no Landlock")
@pytest.mark.skipif(SANITIZED or "coverage" in os.path.basename(os.path.abspath(BUILD)),
                    reason="an instrumented build has no fence")
def test_a_fenced_gateway_sees_the_secrets_that_come(fresh_fleet):
    """process.fence: a secret that the operator puts there later is found all the same."""
    box = ToolServer([tool("get")], version=NOW, secret=SECRET)
    try:
        fleet = fresh_fleet(dict(json.loads(json.dumps(CONFIG_MCP)), process={"fence": True},
                                 gateway={"enabled": True, "refresh_s": 1}))
        fleet.root = fleet.admin()
        put_secret(fleet, "box", SECRET)
        fleet.root.ok("PUT", "/v1/tool-servers/box", row(box, secret="box"))
        wait_callable(fleet, "box", "box/get")
    finally:
        box.leave()

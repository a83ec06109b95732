# SPDX-License-Identifier: Apache-2.0
"""aegis mcp: the MCP plane on stdin and stdout, for hosts that start their servers as programs."""
import json
import os
import subprocess

import pytest

from conftest import AEGIS, Fleet, b64
from mcp_client import CONFIG_MCP, META, NOW, THEN


@pytest.fixture(scope="module")
def fleet():
    f = Fleet(config=CONFIG_MCP)
    try:
        f.start()
        yield f
    finally:
        f.leave()


class Program:
    def __init__(self, fleet, token, tmp_path, mode=0o600, words=()):
        self.file = str(tmp_path / "agent.token")
        with open(self.file, "w") as out:
            out.write(token)
        os.chmod(self.file, mode)
        env = {"PATH": os.environ["PATH"], "AEGIS_STATE": fleet.state, "AEGIS_TOKEN_FILE": self.file,
               "HOME": str(tmp_path)}
        self.process = subprocess.Popen([AEGIS, "mcp", *words], env=env, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.n = 0

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, method, params=None):
        self.n += 1
        self.tell(json.dumps({"jsonrpc": "2.0", "id": self.n, "method": method, "params": params or {}}))
        answer = json.loads(self.process.stdout.readline())
        assert answer["id"] == self.n
        return answer

    def now(self, method, **params):
        return self.ask(method, dict(params, _meta=META))

    def end(self):
        """What else it said: stdout, stderr."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def test_both_eras_and_nothing_else_on_stdout(fleet, admin, unique, tmp_path):
    key = unique("key")
    fleet.key(admin, key)
    token = fleet.agent(admin, ["key:%s:sign" % key]).token
    program = Program(fleet, token, tmp_path)
    assert NOW in program.now("server/discover")["result"]["supportedVersions"]
    signed = program.now("tools/call", name="sign", arguments={"key": key, "message_b64": b64(b"m")})["result"]
    assert signed["resultType"] == "complete" and signed["structuredContent"]["signature_b64"]
    assert program.now("resources/read", uri="aegis://me/scopes")["result"]["contents"]
    assert program.now("prompts/get", name="n\u00e4h\n")["error"]["code"] == -32602
    assert program.ask("initialize", {"protocolVersion": THEN, "capabilities": {}})["result"]["protocolVersion"] == THEN
    program.tell(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    names = [t["name"] for t in program.ask("tools/list")["result"]["tools"]]
    assert names == ["sign", "my_scopes", "my_activity", "request_access"]
    program.tell("this is no message")
    assert json.loads(program.process.stdout.readline())["error"]["code"] == -32600
    assert program.ask("ping")["result"] == {}
    code, out, err = program.end()
    assert (code, out) == (0, "") and token not in err


def test_what_http_refuses_is_an_error(fleet, admin, unique, tmp_path):
    key = unique("key")
    fleet.key(admin, key)
    agent = fleet.agent(admin, ["key:%s:sign" % key])
    program = Program(fleet, agent.token, tmp_path)
    assert "result" in program.now("tools/list")
    admin.ok("POST", "/v1/agents/%s/revoke" % agent.id, {"reason": "test"})
    error = program.now("tools/list")["error"]
    assert error["data"]["code"] == "Unauthenticated" and error["data"]["reason_code"] == "token_revoked"
    assert program.end()[0] == 0


def test_a_credential_that_others_can_read_is_not_taken(fleet, admin, unique, tmp_path):
    program = Program(fleet, fleet.token(), tmp_path, mode=0o644)
    code, out, err = program.end()
    assert code == 2 and out == "" and "agent.token" in err


def test_without_a_plane_it_says_so(fresh_fleet, tmp_path):
    f = fresh_fleet()
    code, out, err = Program(f, f.token(), tmp_path).end()
    assert code == 7 and out == "" and "mcp" in err
    program = Program(f, f.token(), tmp_path, words=["--url", "http://127.0.0.1:9"])
    error = program.now("tools/list")["error"]
    assert error["code"] == -32603 and program.end()[0] == 0

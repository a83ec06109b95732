# SPDX-License-Identifier: Apache-2.0
"""What the aegis command sends, and what it makes of strange answers, with a
server that is not Aegis."""
import http.server
import json
import os
import subprocess
import threading

import pytest

from conftest import AEGIS


class Strange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer = (200, b"{}")
    asked = []

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, json.loads(body) if body else None, dict(self.headers)))
        status, data = Strange.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strange)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()


@pytest.fixture
def aegis(server, tmp_path):
    state = tmp_path / "state"
    (state / "run").mkdir(parents=True)
    (state / "run" / "endpoints.json").write_text(json.dumps({"rest": "http://127.0.0.1:%d" % server.server_port}))
    token = state / "admin.token"
    token.write_text("t.o.k\n")
    token.chmod(0o600)
    env = dict(os.environ, AEGIS_STATE=str(state), XDG_CONFIG_HOME=str(tmp_path / "config"), NO_COLOR="1")
    env.pop("AEGIS_TOKEN", None)

    def run(*words, answer=(200, {}), stdin=""):
        Strange.asked.clear()
        status, data = answer
        Strange.answer = (status, data if isinstance(data, bytes) else json.dumps(data).encode())
        return subprocess.run([AEGIS] + list(words), input=stdin, capture_output=True, text=True, env=env,
                              cwd=str(tmp_path), timeout=20)
    return run


@pytest.mark.parametrize("words,method,path,body", [
    (["key", "create", "a", "--spec", "EC_P256", "--usage", "sign,verify", "--label", "x=y=z", "--rotate-every", "30d",
      "--rotate-after", "5", "--activate"], "POST", "/v1/keys",
     {"alias": "a", "key_spec": "EC_P256", "usage": ["sign", "verify"], "labels": {"x": "y=z"}, "activate": True,
      "rotation": {"every_s": 2592000, "after_operations": 5}}),
    (["key", "show", "a/b?c"], "GET", "/v1/keys/a%2Fb%3Fc", None),
    (["keys", "activate", "a"], "POST", "/v1/keys/a/activate", None),
    (["key", "label", "a", "x=1", "y-"], "PATCH", "/v1/keys/a", {"labels": {"x": "1", "y": None}}),
    (["key", "destroy", "a", "--reason=b c", "--window", "7d", "--yes"], "POST", "/v1/keys/a/destroy",
     {"reason": "b c", "pending_window_s": 604800}),
    (["key", "public", "a", "--jwks"], "GET", "/v1/keys/a/jwks.json", None),
    (["key", "sign", "a", "--digest"], "POST", "/v1/keys/a/sign", {"message_b64": "", "message_type": "digest"}),
    (["principal", "delete", "p", "--reason", "x&y"], "DELETE", "/v1/principals/p?reason=x%26y", None),
    (["principal", "grant", "p", "admin", "--until", "2026-01-02T03:04:05Z"], "PUT", "/v1/principals/p/roles/admin",
     {"valid_until": "2026-01-02T03:04:05.000Z"}),
    (["agent", "revoke", "agt_1", "--reason", "r"], "POST", "/v1/agents/agt_1/revoke", {"reason": "r"}),
    (["agent", "revoke", "--parent", "p", "--reason", "r", "--dry-run"], "POST", "/v1/agents/revoke",
     {"parent": "p", "reason": "r", "dry_run": True}),
    (["key", "list", "--label", "a=b", "--limit", "7"], "GET", "/v1/keys?label=a%3Db&limit=7", None),
    (["audit", "--actor", "p", "--include-agents"], "GET",
     "/v1/audit?order=asc&actor=p&include_agents=1&limit=1000", None),
])
def test_what_is_sent(aegis, words, method, path, body):
    aegis(*words)
    assert Strange.asked[0][:3] == (method, path, body)
    assert Strange.asked[0][3]["Authorization"] == "Bearer t.o.k"


@pytest.mark.parametrize("status,code,expected", [
    (400, "InvalidField", 2), (400, "CryptographicFailure", 2), (401, "Unauthenticated", 3), (401, "StepUpRequired", 3),
    (403, "PermissionDenied", 5), (404, "ItemNotFound", 4), (409, "InvalidKeyState", 6), (412, "PreconditionFailed", 6),
    (413, "RequestTooLarge", 2), (415, "UnsupportedMediaType", 2), (422, "IdempotencyMismatch", 2),
    (429, "RateLimited", 7), (500, "GeneralFailure", 8), (501, "FeatureNotSupported", 8), (503, "Unavailable", 7),
    (504, "DeadlineExceeded", 7), (409, "SomethingNew", 6), (403, "ApprovalRequired", 5),
])
def test_exit_of_a_refusal(aegis, status, code, expected):
    done = aegis("whoami", answer=(status, {"code": code, "reason_code": "why", "detail": "so", "request_id": "r-1",
                                            "hint": "do this", "field": None}))
    assert done.returncode == expected
    assert done.stderr == "aegis: %s/why: so (request r-1)\nhint: do this\n" % code


def test_every_code_has_a_word(aegis):
    """Each is documented once, with what to do; that is what the command says where the server says nothing."""
    rows = [line.split(" | ") for line in aegis("doc", "errors").stdout.splitlines() if line.startswith("| `")]
    codes = [row[0].strip("| `") for row in rows]
    assert len(codes) == len(set(codes)) > 30 and all(len(row) == 7 and len(row[6]) > 5 for row in rows), rows
    for row, code in zip(rows, codes):
        done = aegis("whoami", answer=(int(row[1]), {"code": code, "reason_code": "why", "detail": "so", "hint": None,
                                                     "request_id": "r-1", "field": "/x"}))
        assert done.stderr == "aegis: %s/why: so (request r-1)\nhint: at /x: %s\n" % (code, row[6].strip(" |"))


@pytest.mark.parametrize("status,data,expected", [
    (200, b"<html>", 8), (500, b"<html>", 8), (404, b"", 4), (302, b"", 8), (503, b"[]", 7), (200, b"", 8),
    (200, b"{\"a\":1,\"a\":2}", 8),
])
def test_strange_answers(aegis, status, data, expected):
    done = aegis("whoami", answer=(status, data))
    assert done.returncode == expected
    assert done.stderr.startswith("aegis: ") and not done.stdout


def test_answers_of_wrong_shape_are_survived(aegis):
    for answer in ({"items": 5}, {"items": [1, "x", None, [], {"id": {"a": []}}]}, [], {"items": [], "next_cursor": 7},
                   {"items": [{"chain": [1, 2, 3], "risk": [], "params": 5, "actor": "x", "resource": []}]},
                   {"valid": "yes"}, {"signature_b64": 5}, {"signature_b64": "!!"}):
        for words in (["key", "list"], ["audit"], ["whoami"], ["key", "sign", "k"], ["responder", "rules"],
                      ["key", "verify", "k", "--signature", "/dev/null"], ["agent", "issue", "--scope", "s",
                                                                             "--label", "l"]):
            done = aegis(*words, answer=(200, answer))
            assert done.returncode in (0, 1, 8), (words, answer, done)


def test_hostile_names_do_not_reach_the_terminal(aegis):
    done = aegis("whoami", answer=(200, {"name": "\x1b[2Jadmin\u009b1m\x07"}))
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout and "\u009b" not in done.stdout
    done = aegis("whoami", answer=(403, {"code": "PermissionDenied", "detail": "\x1b]0;x\x07", "request_id": "r"}))
    assert "\x1b" not in done.stderr


def test_secret_files(aegis, tmp_path):
    token = tmp_path / "agent.token"
    token.write_text("old")
    token.chmod(0o644)
    done = aegis("agent", "issue", "--scope", "key:a:sign", "--label", "l", "--out", "agent.token", "--json",
                 answer=(201, {"agent_id": "agt_1", "token": "new", "scopes": []}))
    assert done.returncode == 0 and "new" not in done.stdout
    assert token.read_text() == "new\n" and token.stat().st_mode & 0o777 == 0o600
    done = aegis("principal", "token", "p", "--out", "nowhere/x")
    assert done.returncode == 2 and not Strange.asked, "the file is opened before the token is made"


def test_pages_are_followed(aegis):
    done = aegis("key", "list", "--limit", "2500", "--json", answer=(200, {"items": [{"id": "k"}] * 1000,
                                                                           "next_cursor": "a+b/="}))
    assert [asked[1] for asked in Strange.asked] == [
        "/v1/keys?limit=1000", "/v1/keys?limit=1000&cursor=a%2Bb%2F%3D", "/v1/keys?limit=500&cursor=a%2Bb%2F%3D"]
    assert done.stdout.count("\n") >= 2500

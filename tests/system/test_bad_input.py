# SPDX-License-Identifier: Apache-2.0
"""Bad input: each a precise 4xx with its code, one event, nothing lost, and no
growth under a flood."""
import base64
import json
import os
import socket
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conftest import CONFIG, SANITIZED, b64, wait_for

SIGN = {"message_b64": b64(b"m")}


@pytest.fixture(scope="module")
def key(fleet):
    admin = fleet.admin()
    fleet.key(admin, "bad-input")
    admin.close()
    return "bad-input"


def check(fleet, answer, status, code, reason=None, field=None):
    """The problem as the contract has it, and its one event."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == "urn:aegis:error:" + code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"title", "detail", "reason_code", "hint", "field"} <= set(problem)
    if reason is not None:
        assert problem["reason_code"] == reason, problem
    if field is not None:
        assert problem["field"] == field, problem
    events = [e for e in fleet.all_events() if e["request_id"] == problem["request_id"]]
    one_event(events, status, code)
    return problem, events


def test_repeated_query_parameter(fleet, admin):
    problem, events = check(fleet, admin.get("/v1/keys?limit=1&limit=2"), 400, "MalformedRequest",
                            "duplicate_member", "?limit")


def one_event(events, status, code):
    assert [(e["status"], e["code"]) for e in events if e["event_type"] == "request"] == [(status, code)]


# ------------------------------------------------------- JSON and its fields

@pytest.mark.parametrize("body,status,code,reason,field", [
    (b'{"message_b64":"bQ==","nonsense":1}', 400, "InvalidField", "unknown_field", "/nonsense"),
    (b'{"message_b64":"bQ==","message_b64":"bQ=="}', 400, "MalformedRequest", "duplicate_member", None),
    (b'{"message_b64":5}', 400, "InvalidField", "wrong_type", "/message_b64"),
    (b'{"message_b64":null}', 400, "InvalidField", None, "/message_b64"),
    (b'{}', 400, "InvalidField", "missing", "/message_b64"),
    (b'', 400, None, None, None),
    (b'{"message_b64":"bQ="}', 400, "InvalidField", "bad_base64", "/message_b64"),
    (b'{"message_b64":"bQ=\\n="}', 400, "InvalidField", "bad_base64", "/message_b64"),
    (b'{"message_b64":"bR=="}', 400, "InvalidField", "bad_base64", "/message_b64"),
    (b'{"message_b64":"b_-="}', 400, "InvalidField", "bad_base64", "/message_b64"),
    (b'{"message_b64":"bQ==","algorithm":"ROT13"}', 400, "InvalidField", "unknown_value", "/algorithm"),
    (b'{"message_b64":"bQ==","algorithm":"RSASSA_PSS_SHA_256"}', 400, "InvalidField", "algorithm_mismatch",
     "/algorithm"),
    (b'{"message_b64":"bQ==","message_type":"digest"}', 400, "InvalidField", None, "/message_b64"),
    (b'{"message_b64":"bQ=="', 400, "MalformedRequest", "json", None),
    (b'{"message_b64":"bQ=="} x', 400, "MalformedRequest", "json", None),
    (b'[]', 400, "MalformedRequest", None, None),
    (b'"x"', 400, "MalformedRequest", None, None),
    (b'{"message_b64":"\xff\xfe"}', 400, "MalformedRequest", "utf8", None),
    (b'{"a":' + b'[' * 17 + b']' * 17 + b'}', 400, "MalformedRequest", "depth", None),
    (b'{"message_b64":"b\x00Q=="}', 400, "MalformedRequest", None, None),
    (b'{"message_b64":"\\u0000"}', 400, None, None, None),
    (b'{"message_b64":NaN}', 400, "MalformedRequest", "json", None),
], ids=lambda v: v[:40].decode("latin-1") if isinstance(v, bytes) else None)
def test_body(fleet, admin, key, body, status, code, reason, field):
    answer = admin.post("/v1/keys/%s/sign" % key, body)
    problem, events = check(fleet, answer, status, code or answer.code, reason, field)
    one_event(events, status, problem["code"])
    assert events[0]["actor"]["name"] == "admin", "even a malformed request has its actor"


@pytest.mark.parametrize("body,reason,field", [
    ({"key_spec": "EC_P255"}, "unknown_value", "/key_spec"),
    ({"key_spec": 4}, "wrong_type", "/key_spec"),
    ({}, "missing", "/key_spec"),
    ({"key_spec": "EC_P256", "alias": "UPPER"}, "bad_alias", "/alias"),
    ({"key_spec": "EC_P256", "alias": "key_" + "0" * 32}, "bad_alias", "/alias"),
    ({"key_spec": "EC_P256", "alias": "import"}, "bad_alias", "/alias"),
    ({"key_spec": "EC_P256", "alias": "a" * 64}, "bad_alias", "/alias"),
    ({"key_spec": "EC_P256", "alias": ""}, "bad_alias", "/alias"),
    ({"key_spec": "EC_P256", "usage": ["encrypt"]}, None, None),
    ({"key_spec": "EC_P256", "usage": ["dance"]}, "unknown_value", None),
    ({"key_spec": "EC_P256", "labels": {"BAD KEY": "x"}}, None, None),
    ({"key_spec": "EC_P256", "labels": {"a": "x" * 129}}, None, None),
    ({"key_spec": "EC_P256", "labels": dict(("l%d" % i, "x") for i in range(33))}, None, None),
    ({"key_spec": "EC_P256", "activate": "yes"}, "wrong_type", "/activate"),
])
def test_create_key(fleet, admin, body, reason, field):
    problem, events = check(fleet, admin.post("/v1/keys", body), 400, "InvalidField", reason, field)
    one_event(events, 400, "InvalidField")


def test_duplicate_alias(fleet, admin, key):
    problem, events = check(fleet, admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": key}), 409,
                            "AlreadyExists", "alias")
    one_event(events, 409, "AlreadyExists")


@pytest.mark.parametrize("scope", ["key", "key:x", "key:x:sign:more", "keys:x:sign", "key:*:sign", "key:x:fly", "",
                                   "key::sign", "key:x:", "*:*:*", "key:UPPER:sign", "key:x sign:sign"])
def test_bad_scope(fleet, admin, scope):
    problem, events = check(fleet, admin.post("/v1/agents/issue", {"label": "l", "scopes": [scope]}), 400,
                            "InvalidField", "bad_scope", "/scopes/0")
    one_event(events, 400, "InvalidField")


@pytest.mark.parametrize("body", [
    {"label": "l", "scopes": []}, {"label": "l"}, {"scopes": ["key:x:sign"]},
    {"label": "l", "scopes": ["key:x:sign"] * 65}, {"label": "l", "scopes": ["key:x:sign"], "ttl_s": 59},
    {"label": "l", "scopes": ["key:x:sign"], "ttl_s": 86401}, {"label": "l", "scopes": ["key:x:sign"], "ttl_s": -1},
    {"label": "l", "scopes": ["key:x:sign"], "ttl_s": 1.5}, {"label": "l", "scopes": ["key:x:sign"], "ttl_s": 10 ** 20},
    {"label": "l", "scopes": ["key:x:sign"], "max_depth": 11},
    {"label": "l", "scopes": ["key:x:sign"], "source_cidrs": ["10.0.0.0/33"]},
])
def test_bad_agent(fleet, admin, body):
    answer = admin.post("/v1/agents/issue", body)
    problem, events = check(fleet, answer, 400, answer.code)
    assert answer.code in ("InvalidField", "MalformedRequest")


@pytest.mark.parametrize("path,field", [
    ("/v1/keys?limit=0", "?limit"), ("/v1/keys?limit=1001", "?limit"), ("/v1/keys?limit=x", "?limit"),
    ("/v1/keys?nonsense=1", "?nonsense"), ("/v1/keys?cursor=nonsense", "?cursor"),
    ("/v1/keys?state=Asleep", "?state"), ("/v1/audit?since=yesterday", "?since"), ("/v1/audit?order=up", "?order"),
])
def test_bad_query(fleet, admin, path, field):
    problem, events = check(fleet, admin.get(path), 400, "InvalidField", None, field)
    one_event(events, 400, "InvalidField")


# ------------------------------------------------------------- routes, types

@pytest.mark.parametrize("method,path,status,code", [
    ("GET", "/nowhere", 404, "RouteNotFound"), ("GET", "/", 404, "RouteNotFound"),
    ("GET", "/v1/keys/", 404, "RouteNotFound"), ("POST", "/v1/keys/x/dance", 404, "RouteNotFound"),
    ("POST", "/v1/transit/encrypt/x", 404, "RouteNotFound"), ("GET", "/v1//keys", 404, "RouteNotFound"),
    ("PUT", "/v1/keys", 405, "MethodNotAllowed"), ("DELETE", "/v1/whoami", 405, "MethodNotAllowed"),
    ("OPTIONS", "/v1/keys", 405, "MethodNotAllowed"), ("TRACE", "/v1/keys", 405, "MethodNotAllowed"),
])
def test_route(fleet, admin, method, path, status, code):
    answer = admin.request(method, path)
    problem, events = check(fleet, answer, status, code)
    if status == 405:
        assert answer.headers["allow"]


def test_head_has_no_body(fleet, admin):
    answer = admin.request("HEAD", "/v1/keys")
    assert answer.status == 405


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
def test_content_type(fleet, admin, key, kind):
    answer = admin.post("/v1/keys/%s/sign" % key, b'{"message_b64":"bQ=="}', headers={"Content-Type": kind})
    problem, events = check(fleet, answer, 415, "UnsupportedMediaType")
    one_event(events, 415, "UnsupportedMediaType")


def test_oversize_body(fleet, admin, key):
    body = b'{"message_b64":"' + b"A" * (1 << 20) + b'"}'
    answer = fleet.raw(b"POST /v1/keys/%s/sign HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                       b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                       % (key.encode(), admin.token.encode(), len(body)) + body[:4096])
    check(fleet, answer, 413, "RequestTooLarge", "body")


def test_json_memory(fleet, admin, key):
    """1 MiB of empty objects would be a hundred in memory."""
    body = b'{"x":[' + b"{}," * 340000 + b'{}]}'
    answer = admin.post("/v1/keys/%s/sign" % key, body)
    assert answer.status in (400, 413), answer
    assert answer.code in ("RequestTooLarge", "InvalidField", "MalformedRequest")


# ------------------------------------------------------------------ framing

def head(admin, key, *lines, method=b"POST", body=b""):
    return (b"%s /v1/keys/%s/sign HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
            % (method, key.encode(), admin.token.encode()) + b"".join(l + b"\r\n" for l in lines) + b"\r\n" + body)


@pytest.mark.parametrize("lines,body", [
    ((b"Content-Length: 2", b"Content-Length: 2"), b"{}"),
    ((b"Content-Length: 2", b"Content-Length: 3"), b"{}"),
    ((b"Content-Length: 2", b"Transfer-Encoding: chunked"), b"{}"),
    ((b"Transfer-Encoding: gzip, chunked", ), b""),
    ((b"Content-Length: -1",), b""),
    ((b"Content-Length: +2",), b"{}"),
    ((b"Content-Length: 2x",), b"{}"),
    ((b"Content-Length: 99999999999999999999999",), b"{}"),
    ((b"X-A: a\x00b", b"Content-Length: 2"), b"{}"),
    ((b"X A: b", b"Content-Length: 2"), b"{}"),
    ((b"X-A : b", b"Content-Length: 2"), b"{}"),
    ((b": nameless", b"Content-Length: 2"), b"{}"),
    ((b"Transfer-Encoding: chunked",), b"zz\r\n{}\r\n0\r\n\r\n"),
    ((b"Transfer-Encoding: chunked",), b"ffffffffffffffffff\r\n"),
], ids=str)
def test_framing(fleet, admin, key, lines, body):
    answer = fleet.raw(head(admin, key, *lines, body=body))
    assert answer.status in (400, 413), answer
    problem, events = check(fleet, answer, answer.status, answer.code)
    assert answer.headers.get("connection", "").lower() == "close", "what follows cannot be trusted"


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, b"GET\r\n\r\n",
                                  b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\nnonsense\r\n\r\n",
                                  b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                  b"GET / HTTP/1.1\r\n\r\n"], ids=repr)
def test_not_http(fleet, data):
    answer = fleet.raw(data)
    assert 400 <= answer.status < 500, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] in ("MalformedRequest", "RouteNotFound")


def test_huge_header(fleet, admin, key):
    answer = fleet.raw(head(admin, key, b"X-Big: " + b"a" * 100000, b"Content-Length: 2", body=b"{}"))
    check(fleet, answer, 431, "HeadersTooLarge")


def test_many_headers(fleet, admin, key):
    answer = fleet.raw(head(admin, key, *[b"X-%d: a" % i for i in range(5000)], b"Content-Length: 2", body=b"{}"))
    check(fleet, answer, 431, "HeadersTooLarge")


def test_slow_header_and_body(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, rest={"limits": {"header_s": 1, "body_s": 1}}))
    admin = fleet.admin()
    fleet.key(admin, "slow")

    def drip(s):
        end = time.monotonic() + 5
        try:
            while time.monotonic() < end:
                s.sendall(b"a")
                s.settimeout(0.1)
                try:
                    if s.recv(1, socket.MSG_PEEK):
                        break
                except socket.timeout:
                    pass
        except OSError:
            pass
        s.settimeout(10)
    begin = time.monotonic()
    answer = fleet.raw(b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX-Slow: ", pause=drip)
    check(fleet, answer, 408, "RequestTimeout", "header")
    answer = fleet.raw(head(admin, "slow", b"Content-Length: 1000", body=b"{"), pause=drip)
    check(fleet, answer, 408, "RequestTimeout", "body")
    assert time.monotonic() - begin < 10


# ------------------------------------------------------------------- tokens

def part(obj):
    return base64.urlsafe_b64encode(json.dumps(obj).encode()).rstrip(b"=").decode()


def claims(token, **changes):
    c = jwt.decode(token, options={"verify_signature": False})
    c.update(changes)
    return dict((k, v) for k, v in c.items() if v is not None)


def bad_tokens(token):
    header, body, signature = token.split(".")
    h = jwt.get_unverified_header(token)
    other = Ed25519PrivateKey.generate()
    mine = lambda c, **more: jwt.encode(c, other, algorithm="EdDSA", headers=dict(h, **more))
    return {
        "missing": (None, "token_missing"),
        "empty": ("", None),
        "garbage": ("garbage", "token_malformed"),
        "two parts": (header + "." + body, "token_malformed"),
        "four parts": (token + ".x", "token_malformed"),
        "alg none": (part({"alg": "none", "typ": "JWT"}) + "." + body + ".", None),
        "alg None": (part(dict(h, alg="nOnE")) + "." + body + ".", None),
        "alg HS256 with the public key": (jwt.encode(claims(token), "public", algorithm="HS256"), None),
        "tampered body": (header + "." + part(claims(token, sub="hum_" + "0" * 32)) + "." + signature,
                          "token_signature"),
        "tampered signature": (header + "." + body + "." + ("A" if signature[0] != "A" else "B") + signature[1:],
                               "token_signature"),
        "cut signature": (header + "." + body + "." + signature[:-4], None),
        "another's key": (mine(claims(token)), "token_signature"),
        "unknown kid": (mine(claims(token), kid="nobody"), None),
        "foreign issuer": (mine(claims(token, iss="evil")), None),
        "crit": (part(dict(h, crit=["b64"], b64=False)) + "." + body + "." + signature, None),
        "long": ("a" * 5000, None),
    }


@pytest.mark.parametrize("name", sorted(bad_tokens(jwt.encode(
    {"sub": "x"}, Ed25519PrivateKey.generate(), algorithm="EdDSA"))))
def test_token(fleet, admin, name):
    token, reason = bad_tokens(admin.token)[name]
    answer = fleet.client(token).get("/v1/whoami")
    problem, events = check(fleet, answer, 401, "Unauthenticated", reason)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["Basic YWRtaW46", "Bearer", "bearer-ish x", "Bearer a b"])
def test_authorization_header(fleet, value):
    answer = fleet.client().get("/v1/whoami", headers={"Authorization": value})
    check(fleet, answer, 401, "Unauthenticated")


def test_foreign_audience_token(fresh_fleet):
    """A token that was made for another audience, by the very same issuer."""
    config = json.loads(json.dumps(CONFIG))
    fleet = fresh_fleet(dict(config, auth={"audience": "another"}))
    token = fleet.token()
    fleet.client(token).ok("GET", "/v1/whoami")
    fleet.stop()
    fleet.configure(config)
    fleet.start()
    check_refused = fleet.client(token).get("/v1/whoami")
    assert (check_refused.status, check_refused.code, check_refused.reason) == (401, "Unauthenticated",
                                                                                "token_audience")


def test_expired_token(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"], ttl_s=60)
    agent.ok("POST", "/v1/keys/k/sign", SIGN)
    fleet.move_clock(60 + 31)  # beyond the skew
    answer = wait_for(lambda: next((a for a in [agent.post("/v1/keys/k/sign", SIGN)] if a.status == 401), None), 5,
                      what="the clock to be read")
    check(fleet, answer, 401, "Unauthenticated", "token_expired")


# -------------------------------------------------------------------- flood

def resident_kb(fleet):
    total = 0
    for pid in fleet.processes().values():
        try:
            for line in open("/proc/%d/smaps_rollup" % pid):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_flood_of_bad_input_does_not_grow(fleet, admin, key):
    """Ten thousand bad requests of ten kinds: the same memory before and after, and the good are still served."""
    bodies = [b"{", b"[]", b'{"x":1}', b'{"message_b64":"!"}', b"\xff", b'{"a":' + b"[" * 17 + b"]" * 17 + b"}"]

    def flood(rounds):
        for _ in range(rounds):
            for body in bodies:
                assert admin.post("/v1/keys/%s/sign" % key, body).status == 400
            assert admin.get("/nowhere").status == 404
            assert admin.request("PUT", "/v1/keys").status == 405
            stranger.get("/v1/whoami")
            stranger.get("/v1/keys?nonsense=1")
    stranger = fleet.client("a.b.c")
    flood(200)  # caches fill
    before = resident_kb(fleet)
    flood(800)
    after = resident_kb(fleet)
    assert after < before * 1.15 + 4096, "%d kB before, %d kB after" % (before, after)
    admin.ok("POST", "/v1/keys/%s/sign" % key, SIGN)
    assert admin.get("/healthz/ready").status == 200


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_garbage_connections_do_not_grow(fleet, admin):
    before = None
    for n in range(600):
        if n == 200:
            before = resident_kb(fleet)
        with socket.create_connection((admin.host, admin.port), timeout=5) as s:
            s.sendall(os.urandom(512))
            s.shutdown(socket.SHUT_WR)
            try:
                s.recv(4096)
            except OSError:
                pass
    assert resident_kb(fleet) < before * 1.15 + 4096
    assert admin.get("/healthz/ready").status == 200

# SPDX-License-Identifier: Apache-2.0
"""REST on the wire: framing, connections, headers, streams, TLS, and the pages
without a credential."""
import datetime
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import CONFIG, HIGH, b64, wait_for

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


@pytest.fixture(scope="module")
def key(fleet):
    admin = fleet.admin()
    fleet.key(admin, "wire")
    admin.close()
    return "wire"


def sign_bytes(fleet, key, body=None, head=""):
    body = json.dumps({"message_b64": b64(b"m")}).encode() if body is None else body
    return (("POST /v1/keys/%s/sign HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\n%s" % (key, fleet.token(), head)).encode(), body)


def connect(fleet):
    host, port = fleet.url.split("//")[1].split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_answers(sock, count):
    """(status, headers, body) of so many answers with a length."""
    data, found = b"", []
    while len(found) < count:
        head, sep, rest = data.partition(b"\r\n\r\n")
        if sep:
            lines = head.decode().split("\r\n")
            headers = dict((k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines[1:]))
            length = int(headers.get("content-length", 0))
            status = int(lines[0].split()[1])
            if len(rest) >= length or status == 100:
                length = 0 if status == 100 else length
                found.append((status, headers, rest[:length]))
                data = rest[length:]
                continue
        more = sock.recv(65536)
        assert more, "closed after %d answers: %r" % (len(found), data)
        data += more
    return found


# ---------------------------------------------------------------- framing

def test_pipelined_answers_keep_their_order(fleet, key):
    head, body = sign_bytes(fleet, key)
    one = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    info = b"GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n"
    with connect(fleet) as s:
        s.sendall(one + info + one + info)
        got = read_answers(s, 4)
    assert [status for status, _, _ in got] == [200] * 4
    assert ["signature_b64" in json.loads(body) for _, _, body in got] == [True, False, True, False]
    ids = [headers["x-request-id"] for _, headers, _ in got]
    assert len(set(ids)) == 4 and all(UUID7.match(i) for i in ids)


def test_pipelining_beyond_the_input_bound_stops_nobody(fleet, admin):
    """Who sends more than is read while a request is under way waits alone."""
    ask = b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % fleet.token().encode()
    greedy = [connect(fleet) for _ in range(4)]
    count = (256 << 10) // len(ask)
    for s in greedy:
        s.sendall(ask * count)
    assert fleet.client(fleet.token(), timeout_s=5).get("/v1/whoami").status == 200
    for s in greedy:
        got = b""
        while got.count(b"HTTP/1.1 200") < count:
            more = s.recv(1 << 20)
            assert more, "%d of %d answers" % (got.count(b"HTTP/1.1 200"), count)
            got += more
        s.close()


def test_bodies_under_way_are_bounded_together(fleet, admin):
    """Without a credential, too: what is not whole yet takes a bounded part of the memory."""
    head = (b"POST /v1/keys/k/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (4 << 20))
    part, held = b" " * ((4 << 20) - 1), []
    try:
        for _ in range(80):
            s = connect(fleet)
            held.append(s)
            try:
                s.sendall(head + part)
            except OSError:
                pass
        held[-1].settimeout(5)
        assert held[-1].recv(65536).startswith(b"HTTP/1.1 503 ")
        assert admin.get("/v1/whoami").status == 200
    finally:
        for s in held:
            s.close()
    wait_for(lambda: fleet.raw(head.replace(b"%d" % (4 << 20), b"2") + b"{}").status == 401, what="room again")


def test_byte_by_byte(fleet, key):
    head, body = sign_bytes(fleet, key)
    with connect(fleet) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + b"Content-Length: %d\r\n\r\n" % len(body) + body:
            s.sendall(bytes([byte]))
        assert read_answers(s, 1)[0][0] == 200


def test_chunked_body(fleet, key):
    head, body = sign_bytes(fleet, key)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:5], body[5:])) + b"0\r\n\r\n"
    with connect(fleet) as s:
        s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert read_answers(s, 1)[0][0] == 200


def test_expect_continue(fleet, key):
    head, body = sign_bytes(fleet, key)
    with connect(fleet) as s:
        s.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert read_answers(s, 1)[0][0] == 100
        s.sendall(body)
        assert read_answers(s, 1)[0][0] == 200


def test_close_is_honoured_and_half_close_still_answered(fleet):
    with connect(fleet) as s:
        s.sendall(b"GET /v1/info HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        status, headers, _ = read_answers(s, 1)[0]
        assert (status, headers["connection"]) == (200, "close")
        assert s.recv(1) == b""
    with connect(fleet) as s:
        s.sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n" %
                  fleet.token().encode())
        s.shutdown(socket.SHUT_WR)
        assert read_answers(s, 1)[0][0] == 200


def test_http_1_0(fleet):
    with connect(fleet) as s:
        s.sendall(b"GET /v1/info HTTP/1.0\r\n\r\n")
        assert read_answers(s, 1)[0][0] == 200
        assert s.recv(1) == b""


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_methods_that_are_not_served(fleet, method):
    with connect(fleet) as s:
        s.sendall(b"%s /v1/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % method.encode())
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET, POST\r\n" in head
    assert (body == b"") == (method == "HEAD")


@pytest.mark.parametrize("lines,reason", [
    (b"POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "http"),
    (b"POST /v1/keys HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "http"),
    (b"GET /v1/keys HTTP/1.1\r\n\r\n", "http"),
    (b"GET /v1/keys HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "http"),
    (b"GET /v1/keys/%00 HTTP/1.1\r\nHost: h\r\n\r\n", "http"),
    (b"GET /v1/keys#part HTTP/1.1\r\nHost: h\r\n\r\n", "http"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "http"),
], ids=["coding", "smuggle", "no-host", "two-hosts", "nul", "fragment", "h2", "tls"])
def test_framing_refused_with_one_event(fleet, lines, reason):
    answer = fleet.raw(lines)
    assert (answer.status, answer.code, answer.reason) == (400, "MalformedRequest", reason)
    admin = fleet.admin()
    events = admin.items("/v1/audit?request_id=" + answer.headers["x-request-id"])
    admin.close()
    for event in events:  # of tenant system: visible to who may read it
        assert (event["status"], event["outcome"]) == (400, "failed")


def test_deadlines_are_absolute(fresh_fleet):
    slow = dict(CONFIG, rest={"limits": {"header_s": 1, "body_s": 1}})
    fleet = fresh_fleet(slow)

    def drip(data):
        began = time.monotonic()
        with connect(fleet) as s:
            s.sendall(data)
            s.settimeout(0.2)
            got = b""
            while b"\r\n\r\n" not in got:
                try:
                    s.sendall(b"x")
                    got += s.recv(65536)
                except socket.timeout:
                    assert time.monotonic() - began < 10
        return got
    got = drip(b"GET /v1/keys HTTP/1.1\r\nX-Slow: ")
    assert got.startswith(b"HTTP/1.1 408 ")
    got = drip(b"POST /v1/keys HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 408 ")


def test_connections_are_bounded(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, rest={"limits": {"connections": 4}}))
    held = [connect(fleet) for _ in range(4)]
    for s in held:
        s.sendall(b"GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n")
        assert read_answers(s, 1)[0][0] == 200
    with connect(fleet) as s:
        assert s.recv(1) == b""
    held.pop().close()

    def again():
        try:
            with connect(fleet) as t:
                t.sendall(b"GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n")
                return t.recv(20).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
    wait_for(again, what="a place")
    for s in held:
        s.close()


# ---------------------------------------------------------------- headers

def test_headers_of_every_answer(fleet, admin, key):
    for answer in (admin.get("/v1/whoami"), admin.get("/v1/keys/none-such"), admin.get("/v1/info"),
                   admin.get("/nope"), admin.post("/v1/keys/%s/sign" % key, {})):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert UUID7.match(answer.headers["x-request-id"])
        assert "date" in answer.headers
        assert "access-control-allow-origin" not in answer.headers
    assert re.match(r'"principal";q=\d+;w=\d+', admin.get("/v1/whoami").headers["ratelimit-policy"])


def test_trace_and_client_request_id(fleet, admin):
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = admin.get("/v1/whoami", headers={"traceparent": "00-%s-b7ad6b7169203331-01" % trace,
                                              "X-Request-Id": "mine-17"})
    assert re.match("^00-%s-[0-9a-f]{16}-01$" % trace, answer.headers["traceparent"])
    event, = fleet.event_of(admin, answer)
    assert (event["trace_id"], event["client_request_id"]) == (trace, "mine-17")
    answer = admin.get("/v1/whoami", headers={"X-Request-Id": "a" * 65, "traceparent": "00-zz-1-01"})
    event, = fleet.event_of(admin, answer)
    assert (event["trace_id"], event["client_request_id"]) == (None, None)


def test_created_has_location_and_revision(fleet, admin, unique):
    made = admin.post("/v1/keys", {"key_spec": "AES_256", "alias": unique("loc")})
    assert made.status == 201
    assert made.headers["location"] == "/v1/keys/" + made.json["id"]
    assert made.headers["etag"] == '"%d"' % made.json["revision"]
    assert admin.get(made.headers["location"]).json["id"] == made.json["id"]
    stale = admin.request("PATCH", made.headers["location"], {"labels": {"a": "b"}}, {"If-Match": '"999"'})
    assert (stale.status, stale.code) == (412, "PreconditionFailed")


def test_bad_query_is_refused_after_authentication(fleet, admin):
    anonymous = fleet.client()
    answer = anonymous.get("/v1/keys?nope=1")
    assert (answer.status, answer.reason) == (401, "token_missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    answer = admin.get("/v1/keys?nope=1")
    assert (answer.status, answer.reason, answer.json["field"]) == (400, "unknown_field", "?nope")
    answer = admin.get("/v1/keys?limit=1&limit=2")
    assert (answer.status, answer.json["field"]) == (400, "?limit")
    answer = admin.request("GET", "/v1/keys", b"{}")
    assert (answer.status, answer.code) == (400, "MalformedRequest")
    answer = admin.request("POST", "/v1/keys", b"{}", {"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (415, "UnsupportedMediaType")
    answer = anonymous.request("POST", "/v1/keys", b"{}", {"Content-Type": "text/plain"})
    assert answer.status == 401


def test_address_limit(fresh_fleet):
    fleet = fresh_fleet({"limits": {"address": {"rate": 20, "window_s": 60}, "principal": dict(HIGH)}})
    admin = fleet.admin()
    statuses = [admin.get("/v1/whoami").status for _ in range(30)]
    assert statuses == [200] * 20 + [429] * 10
    answer = admin.get("/v1/whoami")
    assert (answer.code, answer.reason) == ("RateLimited", "address")
    assert int(answer.headers["retry-after"]) > 0
    assert admin.get("/v1/info").status == 200  # public pages are not counted


# -------------------------------------------------- pages without credential

def test_health_and_metrics(fleet):
    c = fleet.client()
    for page in ("live", "ready", "startup"):
        answer = c.get("/healthz/" + page)
        assert answer.status == 200, answer
    checks = c.get("/healthz/ready").json["checks"]
    assert [row["name"] for row in checks] == ["broker", "iam", "risk", "anomaly", "responder", "keys",
                                               "journal", "audit", "rot"]
    assert all(row["status"] == "ok" for row in checks)
    text = c.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = text.data.decode().splitlines()
    families = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))
    assert any(line.startswith('aegis_rest_requests_total{process="rest') for line in lines)
    assert all(re.match(r'^(#|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? [-+0-9.eInf]+$)', line) for line in lines)


def test_openapi_equals_the_routes(fleet, admin):
    spec = fleet.client().get("/openapi.json").json
    assert spec["openapi"].startswith("3.1")
    anonymous = fleet.client()
    for path, methods in spec["paths"].items():
        where = re.sub(r"\{[^}]*\}", "x", path)
        for method in ("get", "post", "put", "patch", "delete"):
            answer = anonymous.request(method.upper(), where)
            if method not in methods:
                assert (answer.status, answer.code) == (405, "MethodNotAllowed"), (method, path)
                assert method.upper() not in answer.headers["allow"]
            elif methods[method].get("security") == []:
                assert answer.status in (200, 503), (method, path)
            else:
                assert answer.status == 401, (method, path, answer)

    def refs(node):
        if isinstance(node, dict):
            for k, v in node.items():
                if k == "$ref":
                    yield v
                else:
                    yield from refs(v)
        elif isinstance(node, list):
            for v in node:
                yield from refs(v)
    for ref in refs(spec):
        node = spec
        for part in ref[2:].split("/"):
            node = node[part]
    names = [m["operationId"] for ms in spec["paths"].values() for m in ms.values() if "operationId" in m]
    assert len(names) == len(set(names))
    docs = anonymous.get("/docs")
    assert docs.status == 200
    assert "default-src 'none'" in docs.headers["content-security-policy"]
    assert b"http" not in docs.data.replace(b"/openapi.json", b"")


def test_jwks_and_info(fleet):
    c = fleet.client()
    info = c.get("/v1/info").json
    assert (info["product"], info["api"], info["environment"]) == ("aegis", "v1", "dev")
    keys = c.get("/.well-known/jwks.json").json["keys"]
    assert keys and all(k["kty"] == "OKP" and "d" not in k for k in keys)


# ---------------------------------------------------------------- streams

class Stream:
    def __init__(self, fleet, path="/v1/audit/stream", headers=None):
        host, port = fleet.url.split("//")[1].split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=20)
        self.connection.request("GET", path, headers=dict(headers or {},
                                                          Authorization="Bearer " + fleet.token()))
        self.answer = self.connection.getresponse()

    def next(self):
        """The next event's fields; comments and retry are skipped."""
        fields = {}
        while True:
            line = self.answer.readline()
            if not line:
                raise EOFError("the stream is closed")
            line = line.decode().rstrip("\n")
            if line == "" and "data" in fields:
                return fields
            if line == "":
                fields = {}
                continue
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.strip()

    def close(self):
        self.connection.close()


def test_stream(fleet, admin, key):
    stream = Stream(fleet, "/v1/audit/stream?operation=key.sign")
    assert stream.answer.status == 200
    assert stream.answer.getheader("content-type") == "text/event-stream"
    done = [admin.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"%d" % i)}) for i in range(3)]
    got = [stream.next() for _ in range(3)]
    stream.close()
    assert [json.loads(e["data"])["request_id"] for e in got] == [a.headers["x-request-id"] for a in done]
    assert all(e["event"] == "audit" and int(e["id"]) == json.loads(e["data"])["seq"] for e in got)
    again = Stream(fleet, "/v1/audit/stream?operation=key.sign", {"Last-Event-ID": got[0]["id"]})
    assert [again.next()["id"] for _ in range(2)] == [got[1]["id"], got[2]["id"]]
    again.close()
    refused = admin.get("/v1/audit/stream", headers={"Last-Event-ID": "x"})
    assert (refused.status, refused.json["field"]) == (400, "Last-Event-ID")
    refused = admin.get("/v1/audit?from_seq=1")
    assert (refused.status, refused.json["field"]) == (400, "?from_seq")


# -------------------------------------------------------------------- TLS

def certificate(folder):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                           critical=False).sign(key, hashes.SHA256()))
    files = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    with open(files[0], "wb") as out:
        out.write(cert.public_bytes(serialization.Encoding.PEM))
    with open(files[1], "wb") as out:
        out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption()))
    return files


def test_tls_1_3_only(fresh_fleet, tmp_path):
    cert, key = certificate(str(tmp_path))
    fleet = fresh_fleet(dict(CONFIG, rest={"tls": {"certificate_file": cert, "key_file": key}}))
    port = int(fleet.url.rsplit(":", 1)[1])
    assert fleet.url.startswith("https://")
    context = ssl.create_default_context(cafile=cert)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    for _ in range(3):
        connection.request("GET", "/v1/whoami", headers={"Authorization": "Bearer " + fleet.token()})
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["name"] == "admin"
        assert answer.getheader("strict-transport-security")
    assert connection.sock.version() == "TLSv1.3"
    connection.close()
    old = ssl.create_default_context(cafile=cert)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            old.wrap_socket(s, server_hostname="127.0.0.1")


# ---------------------------------------------------------------- the end

def test_drain(fresh_fleet):
    fleet = fresh_fleet()
    idle = connect(fleet)
    idle.sendall(b"GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n")
    read_answers(idle, 1)
    stream = Stream(fleet)
    fleet.stop()
    assert idle.recv(1) == b""
    last = None
    try:
        while True:
            last = stream.next()
            if last.get("event") == "end":
                break
    except (EOFError, OSError, http.client.HTTPException):
        pass
    assert last is None or last.get("event") in ("audit", "end")
    idle.close()


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready", "/healthz/startup", "/metrics", "/openapi.json",
                                  "/docs", "/.well-known/jwks.json", "/v1/info"])
def test_pages_take_no_parameters(fleet, path):
    who = fleet.client()
    assert who.get(path).status == 200
    got = who.get(path + "?x=1")
    assert (got.status, got.code, got.reason) == (400, "InvalidField", "unknown_field")
    assert got.json["field"] == "?x"
    assert who.get(path).status == 200

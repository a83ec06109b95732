# SPDX-License-Identifier: Apache-2.0
"""What concerns the fleet as a whole: its logs, its health, its documents, one
event for each request in a mixed run, and what a crash leaves. Which test
proves which row is in docs/tests.md."""
import collections
import concurrent.futures
import glob
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest

from conftest import CONFIG, ROOT, b64, unb64, wait_for

SIGN = {"message_b64": b64(b"invoice 1")}
WHY = {"reason": "a drill"}


def log_rows(fleet):
    """The log's lines, each of which is one JSON object."""
    return [json.loads(line) for line in open(fleet.log, errors="strict").read().splitlines()]


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    """The messages in Python, made from the .proto files."""
    out = tmp_path_factory.mktemp("pb")
    proto = os.path.join(ROOT, "proto")
    subprocess.run(["protoc", "--proto_path=" + proto, "--python_out=" + str(out)] +
                   [os.path.join(proto, n + ".proto") for n in ("aegis", "api", "facts")], check=True)
    sys.path.insert(0, str(out))
    import aegis_pb2
    import api_pb2
    import facts_pb2
    yield aegis_pb2, api_pb2, facts_pb2
    sys.path.remove(str(out))


# ------------------------------------------------------------------ O04 O05

def turn_level(fleet, level):
    fleet.configure(dict(CONFIG, log={"level": level}))
    os.kill(fleet.process.pid, signal.SIGUSR1)


def told(fleet, level, since):
    return set(r["process"] for r in log_rows(fleet)[since:]
               if r["event"] == "LOG-LEVEL" and r["message"] == "level=" + level)


def test_log_level_is_switched_while_it_runs(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    admin.ok("GET", "/v1/whoami")
    assert not [r for r in log_rows(fleet) if r["level"] == "debug"]
    everybody = set(fleet.processes()) | {"supervisor"}
    turn_level(fleet, "debug")
    wait_for(lambda: told(fleet, "debug", 0) == everybody, what="all to be told: %s" % sorted(everybody))
    # One word finds a request in the log, the audit log, the answer, and the journal.
    made = admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "joined"})
    request = made.headers["x-request-id"]
    wait_for(lambda: [r for r in log_rows(fleet) if r.get("request_id") == request], what="its lines in the log")
    (event,) = fleet.event_of(admin, made)
    assert event["request_id"] == request
    # And whose it was is said to the root of trust, in the audit log and in the answer alike.
    stamp = made.headers["aegis-provenance"]
    assert event["params"]["provenance"] == stamp and ":direct:" in stamp
    wait_for(lambda: [r for r in log_rows(fleet) if r["event"] == "ROT-CALL" and stamp in json.dumps(r)],
             what="the call in the log of the root of trust")
    refused = admin.get("/v1/keys/none-such")
    assert refused.json["request_id"] == refused.headers["x-request-id"]
    wait_for(lambda: [r for r in log_rows(fleet) if r.get("request_id") == refused.json["request_id"]],
             what="the refusal in the log")
    needle = uuid.UUID(request).bytes
    assert any(needle in open(path, "rb").read() for path in glob.glob(fleet.state + "/journal/*"))
    # Who is started again is told again.
    risk = fleet.processes()["risk"]
    os.kill(risk, signal.SIGKILL)
    wait_for(lambda: fleet.processes()["risk"] not in (0, risk), what="risk")
    wait_for(lambda: len([r for r in log_rows(fleet) if r["process"] == "risk" and r["event"] == "LOG-LEVEL"]) == 2,
             what="risk to be told")
    # A file that is wrong changes nothing and is told; then back to error: nothing more.
    fleet.configure("log: {level: loud}\n")
    os.kill(fleet.process.pid, signal.SIGUSR1)
    wait_for(lambda: [r for r in log_rows(fleet) if r["event"] == "LEVEL-UNREAD"], what="the complaint")
    before = len(log_rows(fleet))
    turn_level(fleet, "error")
    wait_for(lambda: told(fleet, "error", before) == everybody, what="all to be told")
    before = len(log_rows(fleet))
    assert admin.get("/v1/keys/none-such").status == 404
    assert [r for r in log_rows(fleet)[before:] if r["level"] != "error"] == []


def test_no_secret_is_written(fresh_fleet, unique):
    fleet = fresh_fleet(dict(CONFIG, log={"level": "debug"}))
    admin = fleet.admin()
    who = fleet.person(unique("p"))
    marks = [b"plain-%d-of-a-customer" % i for i in range(4)]
    secrets = [fleet.token(), who.token] + [m.decode() for m in marks] + [b64(m) for m in marks]
    fleet.key(admin, "aes", spec="AES_256")
    fleet.key(admin, "ec")
    sealed = admin.ok("POST", "/v1/keys/aes/encrypt", {"plaintext_b64": b64(marks[0]), "context": {"k": "v"}})
    admin.ok("POST", "/v1/keys/aes/decrypt", {"ciphertext_b64": sealed["ciphertext_b64"], "context": {"k": "v"}})
    assert admin.post("/v1/keys/aes/decrypt", {"ciphertext_b64": sealed["ciphertext_b64"]}).status == 400
    admin.ok("POST", "/v1/keys/ec/sign", {"message_b64": b64(marks[1])})
    data_key = admin.ok("POST", "/v1/keys/aes/generate-data-key", {"data_key_spec": "AES_256"})["plaintext_b64"]
    secrets.append(data_key)
    agent = fleet.agent(who, ["key:ec:sign"])
    secrets.append(agent.token)
    assert agent.post("/v1/keys/aes/encrypt", {"plaintext_b64": b64(marks[2])}).status == 403
    assert admin.post("/v1/keys/ec/sign", {"message_b64": b64(marks[3]), "no": 1}).status == 400
    assert fleet.client(who.token[:-2] + "xx").get("/v1/whoami").status == 401
    assert fleet.raw(b"GET /v1/whoami HTTP/1.1\r\nAuthorization: Bearer " + who.token.encode() +
                     b"\r\nbad header\r\n\r\n").status == 400
    fleet.all_events()
    fleet.stop()
    # The admin's token has its own file, nothing else has a secret: logs, output, audit, journal, snapshots.
    raw = [unb64(data_key)]
    places = [fleet.log, fleet.said_file] + [p for p in glob.glob(fleet.state + "/**", recursive=True)
                                            if os.path.isfile(p) and not p.endswith("/admin.token")]
    for path in places:
        data = open(path, "rb").read()
        for secret in [s.encode() for s in secrets] + raw + marks:
            assert secret not in data, (path, secret)
            # the signature alone would do to find a token that was cut
            assert secret.split(b".")[-1] not in data, (path, secret)
        for jwt in re.findall(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}", data):
            raise AssertionError("a token in %s: %r" % (path, jwt))
    assert fleet.log in places and log_rows(fleet)


# ------------------------------------------------------------------ O07

def test_ready_says_who_is_missing(fresh_fleet):
    fleet = fresh_fleet()
    c = fleet.client()
    pids = fleet.processes()
    for name in ("journal", "audit", "iam", "software", "keys.0"):
        os.kill(pids[name], signal.SIGSTOP)
        try:
            got = wait_for(lambda: (lambda a: a if a.status == 503 else None)(c.get("/healthz/ready")), 15,
                           what="not ready without " + name)
            assert got.json["status"] == "unavailable"
            (row,) = [r for r in got.json["checks"] if r["status"] != "ok"]
            assert row["name"] == {"software": "rot", "keys.0": "keys"}.get(name, name) and row["detail"]
            assert c.get("/healthz/live").status == 200
            assert c.get("/healthz/startup").status == 200  # it has been ready once
        finally:
            os.kill(pids[name], signal.SIGCONT)
        wait_for(lambda: c.get("/healthz/ready").status == 200, 15, what="ready again")
    # A plane that starts while the journal cannot be read says so until it can.
    os.kill(pids["journal"], signal.SIGSTOP)
    try:
        wait_for(lambda: c.get("/healthz/ready").status == 503, 15, what="not ready")
        c.close()
        os.kill(pids["rest"], signal.SIGKILL)
        wait_for(lambda: fleet.processes()["rest"] not in (0, pids["rest"]), what="the plane")
        c = fleet.client()
        assert c.get("/healthz/live").status == 200
        assert c.get("/healthz/startup").status == 503
    finally:
        os.kill(pids["journal"], signal.SIGCONT)
    wait_for(lambda: c.get("/healthz/startup").status == 200, 15, what="started")


# ------------------------------------------------------------------ W02 P22 RL03

def test_openapi_is_the_table_of_routes(fleet):
    table = open(os.path.join(ROOT, "planes", "rest", "routes.def")).read()
    rows = set(re.findall(r'^(?:ROUTE|PAGE)\((\w+),\s*"([^"]+)"', table, re.M))
    assert len(rows) > 40
    spec = fleet.client().get("/openapi.json").json
    told = set((m.upper(), path) for path, methods in spec["paths"].items() for m in methods
               if m in ("get", "post", "put", "patch", "delete"))
    assert told == rows
    for path, methods in spec["paths"].items():
        for method, op in methods.items():
            if method == "parameters":
                continue
            names = [p["name"] for p in op.get("parameters", []) if p.get("in") == "path"]
            assert sorted(names) == sorted(re.findall(r"\{(\w+)\}", path)), (method, path)
            assert op["responses"] and all(re.fullmatch(r"[1-5]\d\d", code) for code in op["responses"])


def test_openapi_lists_the_headers(fleet):
    spec = fleet.client().get("/openapi.json").json
    headers = lambda method, path: {p["name"] for p in spec["paths"][path][method].get("parameters", [])
                                    if p["in"] == "header"}
    assert headers("post", "/v1/keys") == {"Idempotency-Key", "Aegis-Step-Up"}
    assert headers("post", "/v1/keys/{key}/rotate") == {"Idempotency-Key", "If-Match", "Aegis-Step-Up"}
    assert headers("get", "/v1/whoami") == headers("post", "/v1/keys/{key}/sign") == {"Aegis-Step-Up"}
    assert headers("get", "/healthz/live") == set()
    forms = {p["name"]: p["schema"]["pattern"] for p in spec["paths"]["/v1/keys/{key}/rotate"]["post"]["parameters"]
             if p["in"] == "header"}
    for name, good, bad in (("Idempotency-Key", "a" * 64, "a" * 65), ("If-Match", '"7"', "7"),
                            ("Aegis-Step-Up", "chl_%032x totp=123456" % 1, "totp=123456")):
        assert re.search(forms[name], good) and not re.search(forms[name], bad), name


def test_openapi_tells_every_answer(fleet, admin, unique):
    """Each answer's status and content type are in the document, none as "anything else"."""
    spec = fleet.client().get("/openapi.json").json
    key, again = unique("k"), {"Idempotency-Key": unique("once")}
    fleet.key(admin, key)
    nobody = fleet.person(unique("nobody"), [])
    asked = [(200, admin, "get", "/v1/keys/{key}", None, {}), (200, admin, "post", "/v1/random", {"length": 8}, {}),
             (201, admin, "post", "/v1/keys", {"key_spec": "AES_256"}, again),
             (422, admin, "post", "/v1/keys", {"key_spec": "AES_128"}, again),
             (400, admin, "post", "/v1/keys", {}, {}), (400, admin, "get", "/v1/keys/{key}?x=1", None, {}),
             (401, fleet.client(), "get", "/v1/whoami", None, {}), (403, nobody, "get", "/v1/keys/{key}", None, {}),
             (404, admin, "get", "/v1/roles/{role}", None, {}), (409, admin, "post", "/v1/keys/{key}/activate", {}, {}),
             (412, admin, "patch", "/v1/keys/{key}", {"labels": {}}, {"If-Match": '"99"'}),
             (415, admin, "post", "/v1/random", {"length": 8}, {"Content-Type": "text/plain"})]
    asked += [(200, fleet.client(), "get", page, None, {}) for page in spec["paths"]
              if spec["paths"][page].get("get", {}).get("security") == []]
    for status, who, method, route, body, headers in asked:
        path = route.replace("{key}", key).replace("{role}", "none")
        answer = who.request(method.upper(), path, body, headers=headers)
        assert answer.status == status, (method, path, answer)
        told = spec["paths"][route.split("?")[0]][method]["responses"]
        assert "default" not in told and str(answer.status) in told, (method, route, answer)
        said = told[str(answer.status)]
        if "$ref" in said:
            said = spec["components"]["responses"][said["$ref"].split("/")[-1]]
        assert list(said["content"]) == [answer.headers["content-type"].split(";")[0]], (method, route)
        if answer.status == 200 and "json" in answer.headers["content-type"]:
            schema = next(iter(said["content"].values()))["schema"]
            if "$ref" in schema:
                schema = spec["components"]["schemas"][schema["$ref"].split("/")[-1]]
            assert set(schema.get("required", [])) <= set(answer.json), (method, route)


def test_every_403_names_its_rule(fleet, admin, unique):
    key, trap = unique("k"), unique("trap")
    fleet.key(admin, key)
    fleet.key(admin, trap, honey=True)
    nobody = fleet.person(unique("nobody"), [])
    agents = [fleet.agent(admin, ["key:%s:sign" % key]) for _ in range(4)]
    answers = [nobody.get("/v1/keys/" + key), nobody.post("/v1/principals", {"kind": "human", "name": unique("x")}),
               agents[0].post("/v1/keys/%s/verify" % key, dict(SIGN, signature_b64="AAAA")),
               agents[1].post("/v1/keys/%s/sign" % unique("none"), SIGN),
               agents[2].post("/v1/keys/%s/sign" % trap, SIGN),
               agents[3].post("/v1/agents/issue", {"label": "below", "scopes": ["key:%s:encrypt" % key]})]
    admin.ok("POST", "/v1/agents/%s/suspend" % agents[3].id, WHY)
    answers.append(agents[3].post("/v1/keys/%s/sign" % key, SIGN))
    for answer in answers:
        assert answer.status == 403, answer
        assert answer.json["reason_code"] and answer.json["rule"], answer
        (event,) = [e for e in fleet.all_events() if e["request_id"] == answer.headers["x-request-id"] and
                    e["event_type"] == "request"]
        assert (event["reason_code"], event["rule"]) == (answer.json["reason_code"], answer.json["rule"])


def least(schema, spec):
    """The smallest value that fits, as far as the document says."""
    if "$ref" in schema:
        return least(spec["components"]["schemas"][schema["$ref"].split("/")[-1]], spec)
    if "enum" in schema:
        return schema["enum"][0]
    for one in ("anyOf", "oneOf", "allOf"):
        if one in schema:
            return least(schema[one][0], spec)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: least(schema["properties"][name], spec) for name in schema.get("required", [])}
    if kind == "string":
        return {"date-time": "2026-01-05T12:00:00Z", "byte": "eA=="}.get(
            schema.get("format"), "eA==" if "base64" in json.dumps(schema) else "x")
    return {"array": [least(schema["items"], spec)] if kind == "array" else None, "integer": schema.get("minimum", 1),
            "number": 1, "boolean": False}[kind]


# What needs no scope: oneself, what is public to whoever is somebody, one's own questions to people, and credentials
# that come in the body. Of others' there is nothing to be seen (404); the fleet of this test has no other servers' tools.
FREE = {("get", "/v1/whoami"): 200, ("get", "/v1/audit/public-key"): 200, ("get", "/v1/approvals"): 200,
        ("get", "/v1/approvals/{approval}"): 404, ("post", "/v1/approvals/{approval}/cancel"): 404,
        ("get", "/v1/break-glass"): 200, ("get", "/v1/break-glass/{break_glass}"): 404,
        ("post", "/v1/break-glass/{break_glass}/close"): 404, ("get", "/v1/challenges/{challenge}"): 404,
        ("post", "/v1/challenges/{challenge}"): 404, ("get", "/v1/grants"): 200, ("post", "/v1/token"): 401,
        ("get", "/v1/tools"): 501}
BODIES = {("post", "/v1/grants"): {"scopes": ["key:x:sign"], "reason": "x"},
          ("post", "/v1/approvals"): {"operation": "key.rotate", "resource": "x", "reason": "x"}}
QUERIES = {"/v1/audit/consistency": "?first=1&second=1"}


def test_who_holds_nothing_may_do_nothing(fleet, admin, unique):
    """Every route that is served, asked by who has no scope: 403, and an event that says so."""
    spec = fleet.client().get("/openapi.json").json
    nobody, key = fleet.person(unique("nobody"), []), unique("k")
    fleet.key(admin, key)
    other = fleet.person(unique("other"), [])
    jti = other.ok("GET", "/v1/whoami")["credential"]["jti"]
    names = {"key": key, "principal": other.name, "jti": jti, "role": "admin"}
    answers, free = {}, {}
    for path, methods in sorted(spec["paths"].items()):
        for method, told in methods.items():
            if told.get("security") == []:
                continue
            at = re.sub(r"{(\w+)}", lambda m: names.get(m.group(1), "x"), path)
            body = told.get("requestBody")
            if body and "application/json" not in body["content"]:
                continue  # it is signed by whom it is from
            body = BODIES.get((method, path)) or (least(body["content"]["application/json"]["schema"], spec) if body else None)
            if method == "delete":
                at, body = at + "?reason=x", None
            at += QUERIES.get(path, "")
            got = nobody.request(method.upper(), at, body)
            (answers if got.status == 403 else free)[method, path] = got
    assert {route: got.status for route, got in free.items()} == FREE
    assert len(answers) > 80
    events = {e["request_id"]: e for e in fleet.all_events() if e["event_type"] == "request"}
    for route, got in answers.items():
        event = events[got.headers["x-request-id"]]
        assert (event["outcome"], event["status"], event["actor"]["name"]) == ("denied", 403, nobody.name), (route, event)
        assert event["reason_code"] == got.json["reason_code"], (route, event)


def test_forwarded_addresses_count_from_proxies_only(fresh_fleet):
    limits = {"address": {"rate": 5, "window_s": 60}, "principal": {"rate": 1000000, "window_s": 60}}
    for trusted in ([], ["127.0.0.1"]):
        fleet = fresh_fleet({"limits": limits, "rest": {"trusted_proxies": trusted}})
        admin = fleet.admin()
        answers = [admin.get("/v1/whoami", headers={"X-Forwarded-For": "192.0.2.%d" % (1 + i)}) for i in range(10)]
        statuses = [a.status for a in answers]
        assert statuses == ([200] * 10 if trusted else [200] * 5 + [429] * 5)
        if not trusted:
            assert answers[9].reason == "address" and int(answers[9].headers["retry-after"]) > 0
        fleet.leave()


# ------------------------------------------------------------------ M01

def test_everything_that_is_kept_has_its_tenant(pb):
    aegis, api, facts = pb

    def holds(message, seen=()):
        if any(f.name in ("tenant", "tenant_name") for f in message.fields):
            return True
        return any(f.message_type is not None and f.message_type.name not in seen and
                   holds(f.message_type, seen + (message.name,)) for f in message.fields)
    # Every fact is stored as a record, every answer as an event, every request vouched for by a grant.
    for name in ("JournalRecord", "JournalAppendAsk", "Event"):
        field = getattr(aegis, name).DESCRIPTOR.fields_by_name["tenant"]
        assert field.label == field.LABEL_REQUIRED, name
    assert holds(aegis.Grant.DESCRIPTOR) and holds(aegis.Recommendation.DESCRIPTOR)
    for name in ("Key", "Principal", "Agent", "WhoamiReply"):
        field = getattr(api, name).DESCRIPTOR.fields_by_name["tenant"]
        assert field.label == field.LABEL_REQUIRED, name
    for name in ("TokenIssuedFact", "PrincipalFact", "AgentIssuedFact", "KeyCreatedFact", "NameTakenFact",
                 "RecommendationFact"):
        assert holds(getattr(facts, name).DESCRIPTOR), name
    # A fact that is not told its tenant changes what another told, or is a tenant.
    changes = {"KeyVersionFact", "KeyStateFact", "KeyFrozenFact", "KeyDestroyPlannedFact", "KeyUpdatedFact",
               "KeyCountedFact", "PrincipalStateFact", "TokenRevokedFact", "AgentStateFact", "TenantFact",
               "TotpFact", "WebauthnFact", "ClientSecretFact", "AgentUsesFact"}
    rest = set(n for n, m in facts.DESCRIPTOR.message_types_by_name.items() if n.endswith("Fact") and not holds(m))
    assert rest <= changes, rest - changes
    # Wrapped keys and their bytes are bound to the tenant, too.
    for name in ("RotGenerateAsk",):
        assert holds(getattr(aegis, name).DESCRIPTOR), name


# ------------------------------------------------------------------ J01 J03

def test_hostile_text_stays_on_its_line(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [{"name": "console", "kind": "stdout"}]))
    admin = fleet.admin()
    corpus = ["two\nlines", "\r\n{\"event_id\":\"evt_forged\"}\n", "\x1b[2J\x1b]0;owned\x07", "nul\u0000nul",
              "\u2028\u2029\u0085", "\u202eevil", "\ud83d\ude00" * 8, "\x7f\x80\x9b31m", "'\"`$(id)\\", "a" * 200]
    ids = []
    for i, text in enumerate(corpus):
        ids += [admin.post("/v1/agents/issue", {"label": text, "scopes": ["key:any:sign"]}),
                admin.post("/v1/keys", {"key_spec": "EC_P256", "labels": {"note": text}}),
                admin.post("/v1/agents/%s/revoke" % ("0" * 8), {"reason": text}),
                admin.post("/v1/keys", {"key_spec": text, text: text})]
    for raw in (b"\x1b[31mred", b"tab\there", b"\xff\xfe\x80", b"\"}\\n{\"", b"q" * 3000):
        ids.append(fleet.raw(b"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nUser-Agent: " + raw + b"\r\nX-Request-Id: " + raw +
                             b"\r\nAuthorization: Bearer " + fleet.token().encode() + b"\r\n\r\n"))
    assert all(a.status and a.status < 500 for a in ids), ids
    wanted = set(a.headers["x-request-id"] for a in ids)

    def said():
        text = open(fleet.said_file, "rb").read()
        return text if all(w.encode() in text for w in wanted) and text.endswith(b"\n") else None
    text = wait_for(said, what="all lines on standard output")
    rows = [line for line in text.split(b"\n") if line.startswith(b"{")]
    events = [json.loads(line) for line in rows]
    assert len([line for line in text.split(b"\n") if line and not line.startswith(b"{")]) <= 2  # what up says
    assert all(len(line) <= 65536 for line in rows)
    assert not [c for c in text if (c < 0x20 and c != 0x0a) or c == 0x7f]
    seen = collections.Counter(e["request_id"] for e in events if e["event_type"] == "request")
    assert all(seen[w] == 1 for w in wanted)
    assert len(set(e["event_id"] for e in events)) == len(events)
    log_rows(fleet)  # and so does the log


def shapes(fleet, alias, tokens):
    """One request of every end: (bytes to send, the statuses that may come)."""
    def http_bytes(method, path, body=b"", token=tokens[0], more=b""):
        return (b"%s %s HTTP/1.1\r\nHost: x\r\n" % (method.encode(), path.encode()) +
                (b"Authorization: Bearer " + token.encode() + b"\r\n" if token else b"") +
                (b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b"") + more +
                b"Connection: close\r\n\r\n" + body)
    sign = json.dumps(SIGN).encode()
    path = "/v1/keys/%s/sign" % alias
    return [(http_bytes("POST", path, sign), {200}), (http_bytes("GET", "/v1/whoami"), {200}),
            (http_bytes("POST", path, sign, token=tokens[1]), {200}),
            (http_bytes("GET", "/v1/keys/none"), {404}), (http_bytes("GET", "/v1/nowhere"), {404}),
            (http_bytes("PUT", "/v1/whoami"), {405}), (http_bytes("GET", "/v1/whoami", token=None), {401}),
            (http_bytes("GET", "/v1/whoami", token="a.b.c"), {401}), (http_bytes("POST", path, b'{"a":'), {400}),
            (http_bytes("POST", path, b'{"message_b64":"!"}'), {400}),
            (http_bytes("POST", path, sign, more=b"Content-Length: 1\r\n"), {400}),
            (b"GARBAGE\r\n\r\n", {400}), (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", {400}),
            (http_bytes("POST", path, b"x" * 100, more=b"").replace(b"Content-Length: 100",
                                                                    b"Content-Length: 99999999"), {413}),
            (http_bytes("GET", "/v1/" + "x" * 9000), {404, 414, 431})]


def test_as_many_events_as_requests(fresh_fleet):
    fleet = fresh_fleet(dict(CONFIG, rest={"limits": {"header_s": 2, "body_s": 2}}))
    admin = fleet.admin()
    fleet.key(admin, "mixed")
    agent = fleet.agent(admin, ["key:mixed:sign"])
    kinds = shapes(fleet, "mixed", [fleet.token(), agent.token])

    def play(seed):
        order, answers = random.Random(seed), []
        for _ in range(500):
            data, allowed = order.choice(kinds)
            answer = fleet.raw(data)
            assert answer.status in allowed, (data[:120], answer)
            answers.append(answer)
        # and some that take too long
        answers.append(fleet.raw(b"GET /v1/whoami HTTP/1.1\r\nHost"))
        answers.append(fleet.raw(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"))
        assert [a.status for a in answers[-2:]] == [408, 408], answers[-2:]
        return answers
    before = set(e["event_id"] for e in fleet.all_events())
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = [a for part in pool.map(play, range(6)) for a in part]
    asked = [a.headers["x-request-id"] for a in answers]
    assert len(set(asked)) == len(asked) == 3012
    events = [e for e in fleet.all_events() if e["event_id"] not in before and e["event_type"] == "request"]
    count = collections.Counter(e["request_id"] for e in events)
    assert [r for r in asked if count[r] != 1] == []
    status = dict((e["request_id"], e["status"]) for e in events)
    assert [a for a in answers if status[a.headers["x-request-id"]] != a.status] == []
    # nothing else but the marker that all_events asks for itself, twice
    assert len([e for e in events if e["request_id"] not in set(asked)]) <= 2
    for tenant in set(e["tenant"] for e in events):
        seqs = [e["seq"] for e in events if e["tenant"] == tenant]
        assert len(set(seqs)) == len(seqs)


# ------------------------------------------------------------------ I20 I45 I31

def test_registry_after_random_churn(fresh_fleet, unique):
    fleet = fresh_fleet()
    admin = fleet.admin()
    alice = fleet.person("alice")
    draw, parent, state = random.Random(7), {}, {}
    clients = {}
    for _ in range(120):
        live = [a for a in state if state[a] == "live"]
        what = draw.choice(["issue", "issue", "child", "suspend", "resume", "revoke"])
        if what == "issue" or not live:
            agent = fleet.agent(alice, ["key:any:sign"], max_depth=3)
            parent[agent.id], state[agent.id], clients[agent.id] = alice.id, "live", agent
            continue
        one = draw.choice(sorted(live))
        if what == "child":
            got = clients[one].post("/v1/agents/issue", {"label": "below", "scopes": ["key:any:sign"], "max_depth": 1})
            if got.status == 201:
                new = got.json["agent_id"]
                parent[new], state[new], clients[new] = one, "live", fleet.client(got.json["token"])
        elif what == "resume":
            held = sorted(a for a in state if state[a] == "suspended")
            if held and alice.post("/v1/agents/%s/resume" % held[0], WHY).status == 200:
                state[held[0]] = "live"
        else:
            alice.ok("POST", "/v1/agents/%s/%s" % (one, what), WHY)
            state[one] = "suspended" if what == "suspend" else "revoked"

    def ends(agent, way):
        while agent in parent:
            if state[agent] == way:
                return True
            agent = parent[agent]
        return False

    def agrees():
        shown = dict((a["id"], a["state"]) for a in alice.items("/v1/agents?limit=50"))
        assert set(shown) == set(state)
        assert [a for a in shown if (shown[a] == "revoked") != ends(a, "revoked")] == []
        live = set(a["id"] for a in alice.items("/v1/agents?state=live"))
        assert live == set(a for a in shown if shown[a] == "live")
        first = sorted(parent)[0]
        below = set(a["id"] for a in alice.items("/v1/agents?parent=" + parent[first]))
        assert {a for a in parent if parent[a] == parent[first]} <= below
        assert not [a for a in clients if ends(a, "revoked") and clients[a].get("/v1/whoami").status != 401]
    agrees()
    # The same, when all of it has been read from the journal again.
    token = alice.token
    fleet.stop()
    fleet.start()
    alice = fleet.client(token)
    for agent in clients:
        clients[agent] = fleet.client(clients[agent].token)
    agrees()
    assert alice.get("/v1/agents?limit=1001").status == 400


# ------------------------------------------------------------------ H02 K13

def test_a_rule_may_rotate_the_key(fresh_fleet, unique):
    fleet = fresh_fleet(dict(CONFIG, responder={"rules": [
        {"detector": "scope_violation", "action": "rotate_key"}]}))
    admin = fleet.admin()
    fleet.key(admin, "mine")
    fleet.key(admin, "theirs")
    agent = fleet.agent(admin, ["key:mine:sign"])
    assert agent.post("/v1/keys/theirs/sign", SIGN).status == 403
    key = wait_for(lambda: (lambda k: k if k["version"] == 2 else None)(admin.ok("GET", "/v1/keys/theirs")),
                   what="the rotation")
    assert [v["state"] for v in sorted(key["versions"], key=lambda v: v["version"])] == ["Deactivated", "Active"]
    wait_for(lambda: agent.post("/v1/keys/mine/sign", SIGN).status == 200, what="the hold to be let go")
    (response,) = fleet.events(admin, "operation=response.rotate_key")
    assert response["event_type"] == "response" and response["cause_event_id"]
    # One cause, one rotation: the responder, started again, reads the same events.
    pids = fleet.processes()
    for name in ("responder", "anomaly"):
        os.kill(pids[name], signal.SIGKILL)
    wait_for(lambda: all(fleet.processes()[n] not in (0, pids[n]) for n in ("responder", "anomaly")), what="both")
    wait_for(lambda: fleet.client().get("/healthz/ready").json["status"] == "ok", 15, what="both to be ready")
    assert admin.ok("GET", "/v1/keys/theirs")["version"] == 2
    assert len(fleet.events(admin, "operation=response.rotate_key")) == 1


@pytest.mark.parametrize("name", ["keys.0", "journal", "software"])
def test_a_rotation_is_whole_or_not(fresh_fleet, name):
    fleet = fresh_fleet(dict(CONFIG, keys={"shards": 1}))
    admin = fleet.admin()
    fleet.key(admin, "turning")
    for after_ms in (0, 2, 6):
        pid = wait_for(lambda: fleet.processes()[name], what=name)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            caller = fleet.admin()
            before = admin.ok("GET", "/v1/keys/turning")["version"]
            running = pool.submit(caller.post, "/v1/keys/turning/rotate", {})
            time.sleep(after_ms / 1000)  # where the kill falls is the experiment
            os.kill(pid, signal.SIGKILL)
            answer = running.result()
        wait_for(lambda: fleet.processes()[name] not in (0, pid), 20, what=name)

        def works():
            got = admin.post("/v1/keys/turning/sign", SIGN)
            return got.json if got.status == 200 else None
        signed = wait_for(works, 20, what="the key to sign again")
        key = wait_for(lambda: (lambda a: a.json if a.status == 200 else None)(admin.get("/v1/keys/turning")),
                       20, what="the key")
        states = [v["state"] for v in sorted(key["versions"], key=lambda v: v["version"])]
        assert states == ["Deactivated"] * (len(states) - 1) + ["Active"]
        assert key["version"] == len(states) == signed["key_version"]
        assert key["version"] in (before, before + 1)
        if answer.status == 200:
            assert key["version"] == before + 1

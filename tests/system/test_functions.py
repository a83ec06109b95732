# SPDX-License-Identifier: Apache-2.0
"""The plane of functions: what a model is told, what a call comes to, and that every plane decides alike."""
import json
import random

import pytest

from conftest import Client, Fleet, b64, unb64, wait_for
from mcp_client import CONFIG_MCP, Mcp, McpThen, outcome, validate


@pytest.fixture(scope="module")
def fleet():
    config = json.loads(json.dumps(CONFIG_MCP))
    # What is compared is the decision on a request; what follows from many refusals is told elsewhere.
    config["responder"] = {"rules": [{"detector": d, "action": "alert"}
                                     for d in ("scope_violation", "refusal_burst", "rate_spike", "unusual_key")]}
    config["agents"] = {"hold_ms": 5000}
    f = Fleet(config=config)
    try:
        f.start()
        yield f
    finally:
        f.leave()


def functions(fleet, token):
    return Client(fleet.endpoints["agent"], token)


def call(http, name, **arguments):
    return http.post("/v1/agent/call", {"name": name, "arguments": arguments})


def test_functions_are_the_tools(fleet, admin, unique):
    key = unique("key")
    fleet.key(admin, key)
    agent = fleet.agent(admin, ["key:%s:sign" % key])
    for token in (fleet.token(), agent.token):
        tools = Mcp(fleet, token).tools()
        http = functions(fleet, token)
        openai = http.ok("GET", "/v1/agent/functions")["tools"]
        assert openai == http.ok("GET", "/v1/agent/functions?format=openai")["tools"]
        assert [f["function"]["name"] for f in openai] == list(tools)
        for f in openai:
            assert set(f) == {"type", "function"} and f["type"] == "function"
            assert set(f["function"]) == {"name", "description", "parameters"}
            assert f["function"]["parameters"] == tools[f["function"]["name"]]["inputSchema"]
        anthropic = http.ok("GET", "/v1/agent/functions?format=anthropic")["tools"]
        assert [set(f) for f in anthropic] == [{"name", "description", "input_schema"}] * len(tools)
        assert [f["input_schema"] for f in anthropic] == [t["inputSchema"] for t in tools.values()]


def test_a_call(fleet, admin, unique):
    key = unique("key")
    made = fleet.key(admin, key, "AES_256")
    http = functions(fleet, fleet.agent(admin, ["key:%s:encrypt" % key, "key:%s:decrypt" % key]).token)
    sealed = call(http, "encrypt", key=key, plaintext_b64=b64(b"m"))
    assert sealed.status == 200 and sealed.json["name"] == "encrypt" and sealed.json["id"] is None
    arguments = {"key": key, "ciphertext_b64": sealed.json["result"]["ciphertext_b64"]}
    # As OpenAI's models say it: text; as Anthropic's: input, with the call's id.
    for body in ({"name": "decrypt", "arguments": json.dumps(arguments), "id": "call_1"},
                 {"type": "tool_use", "name": "decrypt", "input": arguments, "id": "call_1"}):
        got = http.ok("POST", "/v1/agent/call", body)
        assert unb64(got["result"]["plaintext_b64"]) == b"m" and got["id"] == "call_1"
    event = fleet.event_of(admin, sealed)[0]
    assert (event["plane"], event["operation"], event["resource"]["id"]) == ("agent", "key.encrypt", made["id"])


def test_refusals_are_problems(fleet, admin, unique):
    key = unique("key")
    fleet.key(admin, key)
    http = functions(fleet, fleet.agent(admin, ["key:%s:verify" % key]).token)
    got = call(http, "no_such")
    assert (got.status, got.code, got.reason, got.json["field"]) == (400, "InvalidField", "unknown_value", "/name")
    got = call(http, "verify", key=key)
    assert (got.status, got.code, got.reason) == (400, "InvalidField", "missing")
    for body, status in (({"name": "verify", "arguments": "{"}, 400), ({"name": "verify", "arguments": []}, 400),
                         ({"name": "verify", "arguments": {}, "input": {}}, 400), ({"name": 7}, 400), ({}, 400),
                         ({"name": "verify", "extra": 1}, 400), ({"name": "my_scopes", "id": 7}, 400), (b"[]", 400),
                         (b'{"name":"my_scopes","name":"sign"}', 400)):
        got = http.post("/v1/agent/call", body)
        assert got.status == status, (body, got)
        assert len(fleet.event_of(admin, got)) == 1
    assert http.get("/v1/agent/functions?format=basic").reason == "unknown_value"
    assert http.get("/v1/agent/functions?x=1").reason == "unknown_field"
    assert http.get("/v1/keys").status == 404 and http.get("/v1/agent/call").status == 405
    assert functions(fleet, None).get("/v1/agent/functions").status == 401
    got = call(http, "sign", key=key, message_b64=b64(b"m"))
    assert (got.status, got.code, got.reason) == (403, "PermissionDenied", "scope_missing")


def test_there_is_none_unless_it_is_configured(fresh_fleet):
    f = fresh_fleet()
    assert f.endpoints["agent"] is None and "agent" not in f.processes()


# ---- one identity, one policy, one record (W13)

ROUTES = {"list_keys": ("GET", "/v1/keys"), "describe_key": ("GET", "/v1/keys/%s"),
          "public_key": ("GET", "/v1/keys/%s/public-key"), "sign": ("POST", "/v1/keys/%s/sign"),
          "verify": ("POST", "/v1/keys/%s/verify"), "encrypt": ("POST", "/v1/keys/%s/encrypt"),
          "decrypt": ("POST", "/v1/keys/%s/decrypt"), "wrap": ("POST", "/v1/keys/%s/wrap"),
          "generate_data_key": ("POST", "/v1/keys/%s/generate-data-key"), "my_scopes": ("GET", "/v1/whoami")}
BODIES = {"sign": {"message_b64": "bQ=="}, "verify": {"message_b64": "bQ==", "signature_b64": "bQ=="},
          "encrypt": {"plaintext_b64": "bQ=="}, "decrypt": {"ciphertext_b64": "AQEAAAABbQ=="},
          "wrap": {"key_b64": b64(b"k" * 32)}, "generate_data_key": {"data_key_spec": "AES_256"}}
# What differs from one request to the next, whatever its plane.
OF_THE_REQUEST = {"event_id", "seq", "occurred_at", "request_id", "latency_us", "hash_b64", "prev_hash_b64", "plane",
                  "user_agent", "risk", "trace_id", "client_request_id"}


def by_rest(http, tool, arguments):
    method, path = ROUTES[tool]
    body = {k: v for k, v in arguments.items() if k != "key"}
    if tool == "generate_data_key":
        body["without_plaintext"] = True
    got = http.request(method, path % arguments["key"] if "%s" in path else path, body if method == "POST" else None)
    return got, (got.json, None) if got.status < 400 else (None, got.json)


def by_mcp(mcp, tool, arguments):
    got = mcp.ask("tools/call", {"name": tool, "arguments": arguments})
    return got, outcome(got)


def by_function(http, tool, arguments):
    got = call(http, tool, **arguments)
    return got, (got.json["result"], None) if got.status < 400 else (None, got.json)


def shape(content):
    """An answer without what chance or time made of it."""
    if isinstance(content, dict):
        return {k: shape(v) for k, v in content.items()
                if k not in ("signature_b64", "ciphertext_b64", "wrapped_key_b64", "operations", "next_cursor")}
    return [shape(x) for x in content] if isinstance(content, list) else content


def test_every_plane_decides_and_records_alike(fleet, admin, unique):
    """Seeded cases of principal × operation × key over four tongues: the same decision, the same event but for the
    plane. People, a service and agents; keys that allow, do not allow, are not active, are not there."""
    chance = random.Random(20260728)
    keys = [unique("k") for _ in range(6)]
    for key, spec in zip(keys, ("EC_P256", "ED25519", "AES_256", "RSA_2048", "AES_256", "EC_P256")):
        fleet.key(admin, key, spec, activate=key != keys[5])
    admin.ok("POST", "/v1/keys/%s/deactivate" % keys[4], {"reason": "test"})
    people = [fleet.person(unique("p"), [role], kind).token for role, kind in
              (("admin", "human"), ("auditor", "human"), ("key-user", "service"), ("key-admin", "human"))]
    ops = ["sign", "verify", "encrypt", "decrypt", "wrap", "read", "public-key", "generate-data-key"]
    agents = [fleet.agent(admin, ["key:%s:%s" % (chance.choice(keys), op) for op in chance.sample(ops, 4)]).token
              for _ in range(4)]
    callers = []
    for token in people + agents:
        callers.append([(by_rest, fleet.client(token)), (by_mcp, Mcp(fleet, token)), (by_mcp, McpThen(fleet, token)),
                        (by_function, functions(fleet, token))])
    seen = {}
    for n in range(500):
        tool = chance.choice(list(ROUTES))
        key = chance.choice(keys + ["nobody", "not an alias"])
        arguments = dict(BODIES.get(tool, {}))
        if "%s" in ROUTES[tool][1]:
            if key == "not an alias":
                key = keys[0]
                arguments.update({"unknown": 1} if ROUTES[tool][0] == "POST" else {})
            arguments["key"] = key
        caller = chance.choice(callers)
        results = []
        for how, client in caller:
            got, (content, problem) = how(client, tool, arguments)
            decision = None if problem is None else (problem["code"], problem["reason_code"], problem["status"])
            results.append((how.__name__, decision, shape(content), got.headers["x-request-id"]))
        for name, decision, content, _ in results[1:]:
            assert decision == results[0][1], (n, tool, arguments, name, decision, results[0])
            assert content == results[0][2], (n, tool, arguments, name)
        seen[results[0][1]] = seen.get(results[0][1], 0) + 1
        for _, _, _, request_id in results:
            seen.setdefault("ids", []).append((n, request_id))
    ids = seen.pop("ids")
    assert len(ids) == 2000 and len(seen) >= 5 and seen[None] > 50, seen
    events = dict((e["request_id"], e) for e in fleet.all_events(60) if e["event_type"] == "request")
    for i in range(0, len(ids), 4):
        group = [events[request_id] for _, request_id in ids[i:i + 4]]
        assert [e["plane"] for e in group] == ["rest", "mcp", "mcp", "agent"]
        for e in group:  # it names the request
            stamp = e["params"].pop("provenance", None)
            assert stamp is None or stamp.split(":")[2] == "direct"
        plain = [{k: v for k, v in e.items() if k not in OF_THE_REQUEST} for e in group]
        for other in plain[1:]:
            assert other == plain[0], ids[i]

# SPDX-License-Identifier: Apache-2.0
"""What has to be so on every route, whatever it is about."""
import re


def routes(fleet):
    """(method, path with names in it, whether it is for anybody) of all that the server says it has."""
    spec = fleet.client().get("/openapi.json").json
    return [(method.upper(), re.sub(r"\{\w+\}", "x", path), op.get("security") == [])
            for path, methods in spec["paths"].items() for method, op in methods.items() if method != "parameters"]


def test_nothing_is_open_but_what_says_so(fleet, admin):
    """No route answers who brings no credential, or a wrong one, and each such request is one event."""
    asked, nobody = {}, fleet.client()
    walked = routes(fleet)
    assert len(walked) > 60 and {path for _, path, public in walked if public} >= {"/healthz/live", "/openapi.json"}
    for method, path, public in walked:
        if public:
            continue
        for header in ({}, {"Authorization": "Bearer a.b.c"}):
            got = nobody.request(method, path, {} if method in ("POST", "PUT", "PATCH") else None, headers=header)
            assert got.status == 401 and got.code == "Unauthenticated", (method, path, got)
            assert got.headers["www-authenticate"].startswith("B"), (method, path)
            asked[got.headers["x-request-id"]] = (method, path)
    events = [e for e in fleet.all_events() if e["request_id"] in asked]
    assert sorted(e["request_id"] for e in events) == sorted(asked)
    for event in events:
        assert (event["outcome"], event["status"], event["actor"]) == ("denied", 401, None), asked[event["request_id"]]


def test_what_is_open_shows_no_secret(fleet, admin):
    """Pages for anybody say nothing of keys, people or agents."""
    fleet.key(admin, "walls-key")
    agent = fleet.agent(admin, ["key:walls-key:sign"], label="walls-agent")
    for method, path, public in routes(fleet):
        if public and method == "GET":
            text = fleet.client().get(path).data
            for word in (b"walls-key", b"walls-agent", agent.id.encode(), agent.token.encode(), admin.token.encode()):
                assert word not in text, path

# SPDX-License-Identifier: Apache-2.0
"""What a stranger may rely on, by table: which members an answer has, that a repeat under an Idempotency-Key is told
the same whatever was done, and that what a list or a body takes is what it says it takes."""
import threading

import pytest

from conftest import HIGH, b64, wait_for

MESSAGE = {"message_b64": b64(b"m")}
PLAIN = {"plaintext_b64": b64(b"m")}
KEY = set("id alias tenant key_spec usage state version versions labels rotation rot frozen destroy_at created_at "
          "created_by updated_at revision".split())
PAGES = ("keys agents principals roles tenants audit audit/checkpoints recommendations principals/admin/tokens "
         "policies approvals grants break-glass sinks").split()
SECRETS = {"token", "secret_b32", "otpauth_uri"}


def refused(answer, status, code, reason, field=None):
    assert (answer.status, answer.code, answer.reason) == (status, code, reason), answer
    assert answer.json["field"] == field, answer


def invalid(answer, reason, field):
    refused(answer, 400, "InvalidField", reason, field)


# ------------------------------------------------------------------ answers

def test_members_of_answers(fleet, admin, unique):
    """Exactly these: an algorithm's own are there where they apply."""
    aes, ec, mac = unique("aes"), unique("ec"), unique("mac")
    assert set(fleet.key(admin, ec)) == KEY
    fleet.key(admin, aes, "AES_256")
    fleet.key(admin, mac, "HMAC_SHA256")
    done = {"key_id", "key_version", "algorithm"}
    for path, body, more in (
            (ec + "/sign", MESSAGE, {"signature_b64"}),
            (ec + "/verify", dict(MESSAGE, signature_b64=b64(b"x")), {"valid"}),
            (aes + "/encrypt", PLAIN, {"ciphertext_b64"}),
            (aes + "/encrypt", dict(PLAIN, format="raw"), {"ciphertext_b64", "iv_b64", "tag_b64"}),
            (aes + "/wrap", {"key_b64": b64(b"k" * 32)}, {"wrapped_key_b64"}),
            (mac + "/mac", MESSAGE, {"mac_b64"}),
            (mac + "/mac-verify", dict(MESSAGE, mac_b64=b64(b"x" * 32)), {"valid"})):
        assert set(admin.ok("POST", "/v1/keys/" + path, body)) == done | more, path
    items = [PLAIN, dict(PLAIN, format="raw")]
    plain, raw = admin.ok("POST", "/v1/keys/%s/batch" % aes, {"operation": "encrypt", "items": items})["results"]
    assert set(raw) - set(plain) == {"iv_b64", "tag_b64"}
    assert set(admin.ok("GET", "/v1/keys?limit=1")["items"][0]) == KEY - {"versions"}


def test_a_batch_counts_as_its_items(fleet, admin, unique):
    key = unique("aes")
    fleet.key(admin, key, "AES_256")
    agent = fleet.agent(admin, ["key:%s:encrypt" % key])
    agent.ok("POST", "/v1/keys/%s/batch" % key, {"operation": "encrypt", "items": [PLAIN] * 7})
    wait_for(lambda: admin.ok("GET", "/v1/agents/" + agent.id)["allowed_count"] == 7, 30, what="seven operations")


# -------------------------------------------------------------- idempotency

def twice(who, mark, method, path, body, other):
    """The same twice is told the same, and says so; with another body it is refused."""
    headers = {"Idempotency-Key": mark}
    first, again = (who.request(method, path, body, headers=headers) for _ in range(2))
    what = (method, path, body, first, again)
    assert first.status in (200, 201) and again.status == first.status, what
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true", what
    secret = SECRETS & set(first.json)
    assert again.json == dict(first.json, **dict.fromkeys(secret)), what
    if other is not None:
        refused(who.request(method, path, other, headers=headers), 422, "IdempotencyMismatch", None,
                "Idempotency-Key")


def test_a_repeat_is_told_the_same(fleet, admin, unique):
    """Also of what changes nothing, for there is nothing to change any more."""
    name, role, label, key = unique("p"), unique("r"), unique("l"), unique("k")
    who, a, b = "/v1/principals/" + name, {"reason": "a"}, {"reason": "b"}
    fleet.person(name, [])
    jti = admin.ok("POST", who + "/tokens", {})["jti"]
    agent = fleet.agent(admin, ["key:x:sign"], label=label).id
    many, dry = {"label": label, "reason": "a"}, {"label": label, "reason": "a", "dry_run": True}
    fleet.key(admin, key)
    steps = [("POST", who + "/suspend", a, b), ("POST", who + "/resume", a, b),
             ("PATCH", who, {}, {"labels": {"a": "b"}}),
             ("PUT", who + "/roles/auditor", {}, {"valid_until": "2036-01-01T00:00:00Z"}),
             ("POST", "/v1/tokens/%s/revoke" % jti, a, b),
             ("PUT", "/v1/roles/" + role, {"scopes": []}, {"scopes": ["key:*:sign"]}),
             ("PATCH", "/v1/keys/" + key, {}, {"labels": {"a": "b"}}),
             ("POST", "/v1/agents/%s/suspend" % agent, a, b), ("POST", "/v1/agents/%s/resume" % agent, a, b),
             ("POST", "/v1/agents/revoke", dry, dict(dry, reason="b")),
             ("POST", "/v1/agents/revoke", many, dict(many, reason="b")),
             ("POST", "/v1/agents/%s/revoke" % agent, a, b), ("DELETE", who + "?reason=a", None, None)]
    for method, path, body, other in steps:
        twice(admin, unique("i"), method, path, body, other)
        twice(admin, unique("i"), method, path, body, other)  # it is so already


def test_one_of_many_at_once_is_the_first(fleet, unique):
    got, mark = [], {"Idempotency-Key": unique("i")}
    body = {"label": unique("nobody"), "reason": "a"}

    def ask():
        client = fleet.admin()
        got.append(client.post("/v1/agents/revoke", body, headers=mark))
        client.close()
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {g.status for g in got} == {200}
    assert sorted("idempotency-replayed" in g.headers for g in got) == [False] + [True] * 5


# -------------------------------------------------------------------- input

@pytest.mark.parametrize("path", PAGES)
def test_what_a_list_takes(admin, path):
    for query, reason in (("limit=0", "out_of_range"), ("limit=1001", "out_of_range"), ("limit=x", "wrong_type"),
                          ("cursor=zz", "bad_cursor"), ("cursor=", "bad_cursor"), ("zz=1", "unknown_field")):
        invalid(admin.get("/v1/%s?%s" % (path, query)), reason, "?" + query.split("=")[0])
    assert {"items", "next_cursor"} <= set(admin.ok("GET", "/v1/%s?limit=1000" % path))


@pytest.mark.parametrize("path,names", [
    ("keys", "state key_spec usage"), ("agents", "state"), ("principals", "kind state"), ("approvals", "state"),
    ("audit", "outcome event_type order"), ("audit/stream", "outcome event_type order"), ("break-glass", "state"),
    ("recommendations", "severity detector state")])
def test_words_of_a_filter(admin, path, names):
    for name in names.split():
        for word in ("zz", ""):
            invalid(admin.get("/v1/%s?%s=%s" % (path, name, word)), "unknown_value", "?" + name)


def test_a_label_is_named(admin, unique):
    for path, body in (("keys", {"key_spec": "EC_P256"}), ("principals", {"kind": "human", "name": unique("p")})):
        for labels, field in (({"A": "b"}, "A"), ({"a/b": "c"}, "a~1b"), ({"a": "x" * 129}, "a")):
            invalid(admin.post("/v1/" + path, dict(body, labels=labels)), "out_of_range", "/labels/" + field)


def test_empty_is_not_left_out(admin):
    """A token of no scope is not one of every scope."""
    for path, body, field in (("principals/admin/tokens", {"scopes": []}, "/scopes"),
                              ("agents/issue", {"label": "a", "scopes": []}, "/scopes"),
                              ("agents/issue", {"label": "a", "scopes": ["key:x:sign"], "source_cidrs": []},
                               "/source_cidrs"),
                              ("keys", {"key_spec": "EC_P256", "usage": []}, "/usage")):
        invalid(admin.post("/v1/" + path, body), "out_of_range", field)
    invalid(admin.request("PUT", "/v1/roles/nothing", {}), "missing", "/scopes")


def test_what_is_no_route(fleet, admin):
    refused(admin.get("/v1/audit/export"), 404, "RouteNotFound", None)
    refused(admin.get("/v1/audit/evt_" + "0" * 32), 404, "ItemNotFound", None)
    got = fleet.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.status == 405 and got.headers["allow"] == "GET, POST, PUT, PATCH, DELETE"


# --------------------------------------------------------------------- others

def test_people_without_scope_are_told_of(fleet, admin, unique):
    """And by default nothing is done to them."""
    key = unique("k")
    fleet.key(admin, key)
    eve = fleet.person(unique("eve"), [])
    refused(eve.post("/v1/keys/%s/sign" % key, MESSAGE), 403, "PermissionDenied", "scope_missing")
    (found,) = wait_for(lambda: admin.items("/v1/recommendations?detector=scope_violation&actor=" + eve.id), 30,
                        what="the recommendation")
    assert (found["severity"], found["suggested_action"]) == ("high", "alert")
    assert eve.get("/v1/whoami").status == 200


def test_a_key_has_a_window_of_its_own(fresh_fleet):
    fleet = fresh_fleet({"limits": {"address": HIGH, "principal": HIGH, "key": {"rate": 3, "window_s": 3600}}})
    admin = fleet.admin()
    fleet.key(admin, "k")
    answers = [admin.post("/v1/keys/k/sign", MESSAGE) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    last = answers[-1]
    assert (last.reason, "of this key" in last.json["detail"]) == ("key", True)
    assert last.headers["ratelimit-policy"] == '"key";q=3;w=3600'
    assert last.headers["ratelimit"].startswith('"key";r=0;t=')


def test_an_agent_like_another(fleet, admin, unique):
    """By the command, without scopes of its own."""
    agent = fleet.agent(admin, ["key:x:sign"], label=unique("l"))
    admin.ok("POST", "/v1/agents/%s/revoke" % agent.id, {"reason": "by mistake"})
    fleet.run("agent", "issue", "--like", agent.id, check=0)
    assert "--scope is missing" in fleet.run("agent", "issue", "--label", "l", check=2).stderr

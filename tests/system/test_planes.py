# SPDX-License-Identifier: Apache-2.0
"""Several REST planes behind one address: the same answers as of one, whoever gives them."""
import http.client
import os
import re
import signal

from conftest import CONFIG, b64, wait_for

SIGN = {"message_b64": b64(b"x")}
FOUR = dict(CONFIG, rest={"processes": 4})
RULES = dict(CONFIG["limits"], rules=[{"principal": "slow", "rate": 5, "window_s": 600}])
NAMES = {"rest", "rest.1", "rest.2", "rest.3"}


def served(fleet):
    """How many answers each plane has given."""
    found = {}
    for line in fleet.client().get("/metrics").data.decode().splitlines():
        match = re.match(r'aegis_rest_requests_total\{[^}]*process="(rest[^"]*)"[^}]*\} (\S+)$', line)
        if match:
            found[match.group(1)] = found.get(match.group(1), 0) + float(match.group(2))
    return found


def once(fleet, token, method, path, body=None, **kw):
    """On a connection of its own: any plane's."""
    client = fleet.client(token)
    try:
        return client.request(method, path, body, **kw)
    finally:
        client.close()


def plain(answer, names):
    """An answer without what is another's by right: ids, times, secrets."""
    text = answer.data.decode("utf-8", "replace")
    for pattern, word in ((r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID"), (r"[a-z]{3}_[0-9a-f]{32}", "ID"),
                          (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"), (r'"(token|signature_b64|jti|next_cursor)":"[^"]*"', r'"\1":"…"'),
                          (r'"(seq|elapsed_us|latency_us)":"?\d+"?', r'"\1":0'), (r"\d+ ms", "MS")):
        text = re.sub(pattern, word, text)
    headers = {name: answer.headers.get(name) for name in ("content-type", "etag", "cache-control", "www-authenticate",
                                                           "retry-after", "location")}
    return names, answer.status, re.sub(r"[0-9a-f-]{36}|[a-z]{3}_[0-9a-f]{32}", "ID", str(headers)), text


def story(fleet):
    """What a client may do and may not, each request on a connection of its own."""
    admin, told = fleet.token(), []

    def ask(method, path, body=None, token=admin, **kw):
        answer = once(fleet, token, method, path, body, **kw)
        told.append(plain(answer, (method, path if "_" not in path else re.sub(r"[a-z]{3}_[0-9a-f]{32}", "ID", path))))
        return answer
    again = {"Idempotency-Key": "one-and-the-same"}
    first = ask("POST", "/v1/keys", {"key_spec": "EC_P256", "alias": "k", "activate": True}, headers=again)
    assert first.status == 201
    for _ in range(6):
        repeat = ask("POST", "/v1/keys", {"key_spec": "EC_P256", "alias": "k", "activate": True}, headers=again)
        assert repeat.json["id"] == first.json["id"], "one key, whichever plane is asked"
    ask("POST", "/v1/keys", {"key_spec": "EC_P256", "alias": "k"})
    ask("POST", "/v1/keys", {"key_spec": "EC_P256", "alias": "other"}, headers=again)
    assert ask("POST", "/v1/keys/k/sign", SIGN).status == 200, "what was made is there for the next plane"
    for path, body in (("/v1/keys/none/sign", SIGN), ("/v1/keys/k/sign", {"odd": 1}), ("/v1/keys/k/sign", b"{"),
                       ("/v1/nowhere", {})):
        ask("POST", path, body)
    ask("GET", "/v1/keys/k", token=None)
    ask("GET", "/v1/keys/k", token="a.b.c")
    ask("DELETE", "/v1/keys")
    ask("POST", "/v1/principals", {"kind": "human", "name": "slow", "roles": ["auditor"]})
    slow = once(fleet, admin, "POST", "/v1/principals/slow/tokens", {}).json["token"]
    found = [once(fleet, slow, "GET", "/v1/whoami").status for _ in range(12)]
    assert found == [200] * 5 + [429] * 7, "one rate, not one for each plane"
    made = once(fleet, admin, "POST", "/v1/agents/issue", {"label": "a", "scopes": ["key:k:sign"]}).json
    for _ in range(4):
        ask("POST", "/v1/keys/k/sign", SIGN, token=made["token"])
    once(fleet, admin, "POST", "/v1/agents/%s/revoke" % made["agent_id"], {"reason": "test"})
    for _ in range(8):
        assert ask("POST", "/v1/keys/k/sign", SIGN, token=made["token"]).status == 401, "revoked is revoked everywhere"
    return told


def test_four_planes_say_what_one_does(fresh_fleet):
    one = fresh_fleet(dict(CONFIG, limits=RULES))
    alone = story(one)
    one.stop()
    four = fresh_fleet(dict(FOUR, limits=RULES))
    assert NAMES <= set(four.processes())
    assert story(four) == alone
    events = [e for e in four.all_events() if e["event_type"] == "request"]
    assert len({e["request_id"] for e in events}) == len(events), "one event of each request"
    # None: refused by iam before that plane was heard of by audit.
    assert {e["plane"] for e in events} <= {"rest", None}


def test_each_plane_serves_and_one_that_dies_is_not_missed(fresh_fleet):
    fleet = fresh_fleet(FOUR)
    admin = fleet.token()
    fleet.key(fleet.admin(), "k")

    def all_have():
        held = [fleet.client(admin) for _ in range(16)]  # kept open: the next plane has more room for the next one
        try:
            assert all(c.post("/v1/keys/k/sign", SIGN).status == 200 for c in held)
        finally:
            [c.close() for c in held]
        return NAMES <= {name for name, count in served(fleet).items() if count > 0}
    wait_for(all_have, 60, 0.01, "each plane to have served")
    pids = fleet.processes()
    os.kill(pids["rest.2"], signal.SIGKILL)

    def answers():
        try:
            return once(fleet, admin, "POST", "/v1/keys/k/sign", SIGN).status == 200
        except (OSError, http.client.HTTPException):
            return False  # it was that plane's connection
    wait_for(answers, 30, what="another plane")
    wait_for(lambda: fleet.processes()["rest.2"] not in (0, pids["rest.2"]), 30, what="it to be back")
    assert all(wait_for(answers, 30) for _ in range(20))

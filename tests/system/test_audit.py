# SPDX-License-Identifier: Apache-2.0
"""The audit log through the public socket, and its files checked offline."""
import datetime
import hashlib
import json
import os
import shutil
import signal
import threading
import time
import urllib.parse
import http.client

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from conftest import b64, unb64, wait_for


def h(data):
    return hashlib.sha256(data).digest()


def proof_ok(p):
    """RFC 9162 §2.1.3.2, written anew from the text."""
    fn, sn, r = p["index"], p["size"] - 1, unb64(p["leaf_hash_b64"])
    for node in map(unb64, p["path_b64"]):
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = h(b"\x01" + node + r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = h(b"\x01" + r + node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == unb64(p["checkpoint"]["root_b64"])


def millis(text):
    t = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return round(t.timestamp() * 1000)


def signed_text(tenant, checkpoint):
    return ("aegis audit checkpoint v1\n%s\n%d\n%s\n%d\n" % (
        tenant, checkpoint["size"], unb64(checkpoint["root_b64"]).hex(), millis(checkpoint["created_at"]))).encode()


def verify(fleet, *more, directory=None):
    directory = directory or os.path.join(fleet.state, "audit")
    done = fleet.run("audit", "verify", "--dir", directory, "--public-key",
                     os.path.join(fleet.state, "audit", "public-key.pem"), *more)
    return done.returncode, (done.stdout.splitlines() or [""])[-1], done


def sign(who, key):
    return who.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"hello")})


@pytest.fixture
def key(fleet, admin, unique):
    return fleet.key(admin, unique("key"))["alias"]


def test_every_end_leaves_exactly_one_event(fleet, admin, key):
    stranger = fleet.client("not-a-token")
    answers = [
        (sign(admin, key), "allowed", None),
        (admin.get("/v1/keys/key_00000000000000000000000000000000"), "failed", "ItemNotFound"),
        (admin.post("/v1/keys/%s/sign" % key, {"message_b64": "%"}), "failed", "InvalidField"),
        (admin.post("/v1/keys/%s/sign" % key, b"{"), "failed", "MalformedRequest"),
        (stranger.get("/v1/whoami"), "denied", "Unauthenticated"),
    ]
    every = fleet.all_events()
    for answer, outcome, code in answers:
        found = [e for e in every if e["request_id"] == answer.headers["x-request-id"]]
        assert len(found) == 1, answer
        event = found[0]
        assert (event["outcome"], event["code"], event["status"]) == (outcome, code, answer.status)
        assert event["event_id"] == "evt_" + event["request_id"].replace("-", "")
    assert len(set(e["event_id"] for e in every)) == len(every)


def test_the_status_is_the_one_that_was_answered(fleet, admin, unique):
    got = admin.post("/v1/keys", {"key_spec": "AES_256", "alias": unique("k")})
    assert got.status == 201
    assert fleet.event_of(admin, got)[0]["status"] == 201


def test_seq_is_gapless_and_the_chain_links(fleet, admin, key):
    for _ in range(5):
        assert sign(admin, key).status == 200
    events = fleet.events(admin)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    previous = b64(bytes(32))
    for e in events:
        assert e["prev_hash_b64"] == previous
        previous = e["hash_b64"]


def test_a_cursor_is_stable_under_writes(fleet, admin, key):
    for _ in range(6):
        sign(admin, key)
    first = admin.ok("GET", "/v1/audit?limit=3&operation=key.sign")
    for _ in range(3):
        sign(admin, key)
    second = admin.ok("GET", "/v1/audit?limit=3&operation=key.sign&cursor=" +
                      urllib.parse.quote(first["next_cursor"]))
    seqs = [e["seq"] for e in first["items"] + second["items"]]
    assert seqs == sorted(seqs, reverse=True) and len(set(seqs)) == 6
    # Nothing between the two pages was lost: they are neighbours in the old order.
    signs = [e["seq"] for e in fleet.events(admin, "operation=key.sign")]
    assert signs.index(second["items"][0]["seq"]) == signs.index(first["items"][-1]["seq"]) - 1
    bad = admin.get("/v1/audit?limit=3&cursor=" + urllib.parse.quote(first["next_cursor"]))
    assert (bad.status, bad.reason) == (400, "bad_cursor")


def test_filters(fleet, admin, unique):
    alias = unique("key")
    fleet.key(admin, alias)
    person = fleet.person(unique("eve"), roles=["key-user", "agent-issuer"])
    agent = fleet.agent(person, ["key:%s:sign" % alias], label="batch", model="m-1")
    assert sign(agent, alias).status == 200
    assert sign(person, alias).status == 200
    assert person.get("/v1/principals").status == 403

    def count(**q):
        q.setdefault("key", alias)
        return len(admin.items("/v1/audit?" + urllib.parse.urlencode({k: v for k, v in q.items() if v})))
    assert count(operation="key.sign") == 2
    assert count(operation="key.sign", actor=person.name) == 1
    assert count(operation="key.sign", actor=person.name, include_agents=1) == 2
    assert count(operation="key.sign", actor=person.id, include_agents=1) == 2
    assert count(operation="key.sign", agent=agent.id) == 1
    assert count(operation="key.sign", root=person.id) == 2
    assert count(operation="key.sign", model="m-1") == 1
    assert count(key=None, actor=person.name, outcome="denied", code="PermissionDenied") == 1
    assert count(since="2999-01-01T00:00:00Z") == 0
    event = admin.ok("GET", "/v1/audit?agent=%s&operation=key.sign" % agent.id)["items"][0]
    assert [link["id"] for link in event["chain"]] == [person.id, agent.id]
    assert event["actor"]["kind"] == "agent" and event["risk"]["decision"] == "allow"
    assert admin.get("/v1/audit?order=sideways").status == 400
    assert admin.get("/v1/audit?limit=0").status == 400


def test_reading_is_a_scope_and_is_audited(fleet, admin, unique):
    person = fleet.person(unique("user"), roles=["key-user"])
    got = person.get("/v1/audit")
    assert (got.status, got.reason) == (403, "scope_missing")
    got = admin.get("/v1/audit?limit=1")
    assert fleet.event_of(admin, got)[0]["operation"] == "audit.query"


def test_a_tenant_sees_its_own(fleet, admin, unique):
    name = unique("tenant")
    made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "root"})
    other = fleet.client(made["admin"]["token"])
    mine = fleet.events(other)
    assert all(e["tenant"] == name for e in mine)
    foreign = fleet.events(admin)[0]["event_id"]
    assert other.get("/v1/audit/" + foreign).status == 404
    assert other.get("/v1/audit/%s/proof" % foreign).status == 404
    assert admin.get("/v1/audit/" + foreign).status == 200


def test_inclusion_is_proved_with_the_public_key_alone(fleet, admin, key):
    answer = sign(admin, key)
    event = "evt_" + answer.headers["x-request-id"].replace("-", "")
    proof = admin.ok("GET", "/v1/audit/%s/proof" % event)
    assert proof_ok(proof)
    pem = admin.ok("GET", "/v1/audit/public-key")["items"][0]["public_key_pem"]
    public = load_pem_public_key(pem.encode())
    public.verify(unb64(proof["checkpoint"]["signature_b64"]), signed_text("default", proof["checkpoint"]))
    assert admin.ok("GET", "/v1/audit/" + event)["seq"] == proof["index"] + 1
    newest = admin.ok("GET", "/v1/audit/checkpoints?limit=5")["items"]
    sizes = [c["size"] for c in newest]
    assert sizes == sorted(sizes, reverse=True)
    proof["path_b64"][0] = b64(bytes(32))
    assert not proof_ok(proof)


def test_a_proof_in_a_file_is_checked_offline(fleet, admin, key, tmp_path):
    answer = sign(admin, key)
    event = "evt_" + answer.headers["x-request-id"].replace("-", "")
    public = os.path.join(fleet.state, "audit", "public-key.pem")
    proof, bent = tmp_path / "proof.json", tmp_path / "bent.json"
    fleet.run("audit", "proof", event, "--out", str(proof), check=0)

    def check(name, *more):
        return fleet.run("audit", "verify", "--proof", str(name), "--public-key", public, *more)
    done = check(proof)
    assert done.returncode == 0, done
    assert done.stdout.startswith("audit: %s is event " % event) and "of default" in done.stdout
    whole = json.loads(proof.read_text())
    for change in ({"index": whole["index"] + 1}, {"leaf_hash_b64": b64(bytes(32))},
                   {"path_b64": whole["path_b64"][:-1]},
                   {"checkpoint": dict(whole["checkpoint"], size=whole["checkpoint"]["size"] + 1)},
                   {"checkpoint": dict(whole["checkpoint"], root_b64=b64(bytes(32)))}):
        bent.write_text(json.dumps(dict(whole, **change)))
        done = check(bent)
        assert done.returncode == 1 and done.stdout.startswith("audit: not proved: "), (change, done)
    assert check(proof, "--tenant", "other").returncode == 1
    bent.write_text("{}")
    assert check(bent).returncode == 2
    assert check("/nonexistent").returncode == 2
    assert check(proof, "--dir", fleet.state).returncode == 2


def consistent(p):
    """RFC 9162 §2.1.4.2, written anew from the text."""
    first, second, path = p["first"]["size"], p["second"]["size"], [unb64(n) for n in p["path_b64"]]
    if first == second:
        return not path and p["first"]["root_b64"] == p["second"]["root_b64"]
    if first & (first - 1) == 0:
        path.insert(0, unb64(p["first"]["root_b64"]))
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = h(b"\x01" + node + fr), h(b"\x01" + node + sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = h(b"\x01" + sr + node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == unb64(p["first"]["root_b64"]) and sr == unb64(p["second"]["root_b64"])


def test_a_newer_checkpoint_goes_on_where_an_older_ended(fleet, admin, key, unique):
    """Over REST, checked by the standard's text."""
    heads = lambda: admin.ok("GET", "/v1/audit/checkpoints?limit=1000")["items"]
    older = wait_for(lambda: heads() and heads()[0], what="a checkpoint")
    for _ in range(5):
        sign(admin, key)
    newer = wait_for(lambda: heads()[0]["size"] >= older["size"] + 5 and heads()[0], what="a newer checkpoint")
    got = admin.ok("GET", "/v1/audit/consistency?first=%d&second=%d" % (older["size"], newer["size"]))
    assert (got["first"], got["second"]) == (older, newer) and consistent(got)
    assert not consistent(dict(got, first=dict(got["first"], root_b64=b64(bytes(32)))))
    assert admin.ok("GET", "/v1/audit/consistency?first=%d" % older["size"])["second"]["size"] >= newer["size"]
    for query, status in (("first=0", 400), ("", 400), ("first=x", 400), ("first=1&third=2", 400),
                          ("first=%d&second=%d" % (newer["size"], older["size"]), 400), ("first=999999999", 404)):
        assert admin.get("/v1/audit/consistency?" + query).status == status, query
    reader = fleet.person(unique("reader"), roles=["key-user"])
    assert reader.get("/v1/audit/consistency?first=%d" % older["size"]).status == 403


def test_consistency_in_a_file_is_checked_offline(fleet, admin, key, tmp_path):
    public = os.path.join(fleet.state, "audit", "public-key.pem")
    kept, proof, bent = tmp_path / "kept.json", tmp_path / "proof.json", tmp_path / "bent.json"
    heads = lambda: admin.ok("GET", "/v1/audit/checkpoints?limit=1")["items"]
    older = wait_for(lambda: heads() and heads()[0], what="a checkpoint")
    kept.write_text(json.dumps(older))
    for _ in range(5):
        sign(admin, key)
    wait_for(lambda: heads()[0]["size"] >= older["size"] + 5, what="a newer checkpoint")
    fleet.run("audit", "consistency", str(older["size"]), "--out", str(proof), check=0)

    def check(name, *more):
        return fleet.run("audit", "verify", "--consistency", str(name), "--public-key", public, *more)
    done = check(proof, "--checkpoint", str(kept))
    assert done.returncode == 0 and "goes on where the one of %d ended" % older["size"] in done.stdout, done
    whole = json.loads(proof.read_text())
    for change in ({"path_b64": whole["path_b64"] + [b64(bytes(32))]},
                   {"second": dict(whole["second"], size=whole["second"]["size"] + 1)},
                   {"first": dict(whole["first"], root_b64=b64(bytes(32)))}):
        bent.write_text(json.dumps(dict(whole, **change)))
        done = check(bent)
        assert done.returncode == 1 and done.stdout.startswith("audit: not proved: "), (change, done)
    # Two signed heads that have nothing to do with the one that was kept prove nothing of it.
    bent.write_text(json.dumps(dict(whole, first=whole["second"], path_b64=[])))
    assert check(bent).returncode == 0 and check(bent, "--checkpoint", str(kept)).returncode == 2
    assert check(proof, "--tenant", "other").returncode == 1
    assert check(proof, "--dir", fleet.state).returncode == 2
    bent.write_text("{}")
    assert check(bent).returncode == 2


def test_the_key_that_signs_is_replaced(fresh_fleet, tmp_path):
    """Old proofs stay good, and who has the first key can follow the log to the newest."""
    fleet = fresh_fleet({"audit": {"checkpoint": {"key_rotate_every_s": 3600}}})
    admin = fleet.admin()
    key = fleet.key(admin, "k")["alias"]
    pem, first, proof = os.path.join(fleet.state, "audit", "public-key.pem"), tmp_path / "first", tmp_path / "proof"
    newest = lambda: admin.ok("GET", "/v1/audit/checkpoints?limit=1")["items"][0]
    ids = lambda: [k["key_id"] for k in admin.ok("GET", "/v1/audit/public-key")["items"]]
    shutil.copy(pem, first)
    event = "evt_" + sign(admin, key).headers["x-request-id"].replace("-", "")
    fleet.run("audit", "proof", event, "--out", str(proof), check=0)
    for n in (2, 3):
        fleet.move_clock(3600)
        wait_for(lambda: len(ids()) == n, 30, what="a new key to be shown")
        fleet.move_clock(90)
        wait_for(lambda: sign(admin, key).status == 200 and newest()["key_id"] == ids()[-1], 30,
                 what="a head by the new key")
        older = ids()
        fleet.stop()
        fleet.start()
        admin = fleet.admin()
        assert ids() == older
    items = admin.ok("GET", "/v1/audit/public-key")["items"]
    assert items[0]["from_seq"] == 1 and items[0]["from_seq"] < items[1]["from_seq"] < items[2]["from_seq"]
    for public in (pem, str(first)):
        done = fleet.run("audit", "verify", "--dir", os.path.join(fleet.state, "audit"), "--public-key", public)
        assert done.returncode == 0, done
        assert fleet.run("audit", "verify", "--proof", str(proof), "--public-key", public).returncode == 0
    last = tmp_path / "last"
    last.write_text(items[2]["public_key_pem"])
    done = fleet.run("audit", "verify", "--dir", os.path.join(fleet.state, "audit"), "--public-key", str(last))
    assert done.returncode == 1 and "is not signed by this key" in done.stdout, done


class Stream:
    def __init__(self, fleet, path, headers=None):
        parts = urllib.parse.urlsplit(fleet.url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        send = dict(headers or {}, Authorization="Bearer " + fleet.token())
        self.connection.request("GET", path, headers=send)
        self.answer = self.connection.getresponse()

    def event(self):
        """(id, event, data) of the next one."""
        fields = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line == "" and "data" in fields:
                return int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value

    def close(self):
        self.connection.close()


def test_the_stream_resumes_without_gap(fleet, admin, key):
    stream = Stream(fleet, "/v1/audit/stream?operation=key.sign")
    assert stream.answer.status == 200
    began = time.monotonic()
    sign(admin, key)
    first, name, event = stream.event()
    assert name == "audit" and event["operation"] == "key.sign" and event["seq"] == first
    assert time.monotonic() - began < 0.5
    stream.close()
    expected = [fleet.event_of(admin, sign(admin, key))[0]["seq"] for _ in range(3)]
    stream = Stream(fleet, "/v1/audit/stream?operation=key.sign", {"Last-Event-ID": str(first)})
    assert [stream.event()[0] for _ in range(3)] == expected
    stream.close()


def copy_of_log(fleet, where):
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(os.path.join(fleet.state, "audit"), where)
    return os.path.join(where, sorted(n for n in os.listdir(where) if n.endswith(".seg"))[-1])


def test_verify_names_what_was_done(fleet, admin, key, tmp_path):
    before = sign(admin, key)
    event = "evt_" + before.headers["x-request-id"].replace("-", "")
    for _ in range(3):
        sign(admin, key)
    seq = admin.ok("GET", "/v1/audit/" + event)["seq"]
    wait_for(lambda: verify(fleet)[1].endswith("unsigned 0"), what="a signed head")
    status, line, _ = verify(fleet, "--tenant", "default")
    assert status == 0 and line.startswith("audit: ")
    kept = str(tmp_path / "kept")
    assert verify(fleet, "--write-checkpoint", kept)[0] == 0
    where = str(tmp_path / "log")
    # edit
    segment = copy_of_log(fleet, where)
    data = bytearray(open(segment, "rb").read())
    begin = data.index(event.encode())  # where the event's bytes are
    at = begin + 10
    data[at] = ord("0") + (data[at] == ord("0"))
    open(segment, "wb").write(data)
    status, line, _ = verify(fleet, directory=where)
    assert status == 1 and line.startswith("audit: broken at seq %d: edited" % seq)
    # a file cut short
    segment = copy_of_log(fleet, where)
    os.truncate(segment, begin)
    assert verify(fleet, directory=where)[0] == 1
    # cut back to an older checkpoint, and filled up again
    segment = copy_of_log(fleet, where)
    cut = begin - 2 - len("default") - 64  # where its record begins
    size = os.path.getsize(segment)
    os.truncate(segment, cut)
    os.truncate(segment, size)
    assert verify(fleet, directory=where)[0] == 0
    status, line, _ = verify(fleet, "--checkpoint", kept, directory=where)
    assert status == 1 and "tail cut" in line
    # nothing left
    os.unlink(segment)
    status, line, _ = verify(fleet, directory=where)
    assert status == 1 and line == "audit: broken at seq 0: the log is empty"
    # bad input is another matter
    assert fleet.run("audit", "verify", "--dir", where).returncode == 2


def load(fleet, key, seconds, answered, errors):
    who = fleet.admin()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            got = sign(who, key)
        except OSError:
            continue
        if got.status == 200:
            answered.append(got.headers["x-request-id"])
        else:
            errors.append(got.status)


def test_a_killed_audit_loses_no_answered_request(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    key = fleet.key(admin, "k")["alias"]
    answered, errors = [], []
    threads = [threading.Thread(target=load, args=(fleet, key, 6, answered, errors)) for _ in range(4)]
    for t in threads:
        t.start()
    for victim in ("audit", "history", "journal"):
        wait_for(lambda: fleet.processes().get(victim), what=victim)
        os.kill(fleet.processes()[victim], signal.SIGKILL)
        time.sleep(1)  # under load for a while
    for t in threads:
        t.join()
    assert len(answered) > 100
    assert set(errors) <= {503, 504}
    wait_for(lambda: admin.get("/v1/whoami").status == 200, 20, 0.2, "the fleet to be whole again")
    recorded = {}
    for e in fleet.events(admin, "operation=key.sign"):
        if e["event_type"] == "request":
            recorded[e["request_id"]] = recorded.get(e["request_id"], 0) + 1
    missing = [r for r in answered if recorded.get(r) != 1]
    assert not missing, "%d of %d" % (len(missing), len(answered))
    fleet.stop()
    status, line, done = verify(fleet)
    assert status == 0, done.stdout
    assert line.endswith("unsigned 0")


def test_a_restart_goes_on_with_the_same_chain(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    key = fleet.key(admin, "k")["alias"]
    before = fleet.event_of(admin, sign(admin, key))[0]
    fleet.stop()
    fleet.start()
    admin = fleet.admin()
    got = fleet.event_of(admin, sign(admin, key))[0]
    assert got["seq"] > before["seq"]
    events = fleet.events(admin)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    fleet.stop()
    assert verify(fleet)[0] == 0

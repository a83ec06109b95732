# SPDX-License-Identifier: Apache-2.0
"""What the ring promises as a whole: an agent is stopped before anything else
of it succeeds; whatever process dies, no answered request is without its one
event, and journal and audit agree; a restart loses nothing."""
import collections
import http.client
import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from conftest import b64, wait_for

SIGN = {"message_b64": b64(b"an invoice")}


def names(fleet):
    """The processes of the fleet, as fleet.def has them."""
    return sorted(n for n in fleet.processes() if n)


# --------------------------------------------------------------- the story

def test_demo_story(fleet, admin, unique):
    invoice, treasury = unique("invoice"), unique("treasury")
    alice = fleet.person(unique("alice"), ["key-admin", "agent-issuer", "auditor"])
    fleet.key(alice, invoice)
    critical = fleet.key(alice, treasury, labels={"tier": "critical"})
    agent = fleet.agent(alice, ["key:%s:sign" % invoice], model="m")
    for _ in range(49):
        agent.ok("POST", "/v1/keys/%s/sign" % invoice, SIGN)
    refused = agent.post("/v1/keys/%s/sign" % treasury, SIGN)
    held = agent.post("/v1/keys/%s/sign" % invoice, SIGN)  # the same connection, at once
    assert (refused.status, refused.code, refused.reason) == (403, "PermissionDenied", "scope_missing")
    assert (held.status, held.code, held.reason) == (401, "Unauthenticated", "token_revoked")

    events = fleet.events(alice, "agent=" + agent.id)
    signed = [e for e in events if e["operation"] == "key.sign" and e["outcome"] == "allowed"]
    assert len(signed) == 49
    [violation] = fleet.event_of(alice, refused)
    assert violation["resource"]["id"] in (critical["id"], None) and violation["outcome"] == "denied"
    assert [link["name"] for link in violation["chain"]][-2:-1] == [alice.name]
    detections = [e for e in fleet.events(alice, "event_type=detection")
                  if e["cause_event_id"] == violation["event_id"]]
    assert [e["operation"] for e in detections] == ["detection.scope_violation"]
    [response] = [e for e in fleet.events(alice, "event_type=response")
                  if e["operation"] == "response.revoke_agent" and agent.id in str(e)]
    assert int(response["params"]["elapsed_us"]) >= 0
    assert alice.ok("GET", "/v1/agents/" + agent.id)["state"] == "revoked"
    again = agent.post("/v1/keys/%s/sign" % invoice, SIGN)
    assert again.status == 401


def test_hold_counts_on_every_connection(fleet, admin, unique):
    """Requests that were waiting on other connections do not slip through."""
    invoice, treasury = unique("invoice"), unique("treasury")
    fleet.key(admin, invoice)
    fleet.key(admin, treasury, labels={"tier": "critical"})
    agent = fleet.agent(admin, ["key:%s:sign" % invoice])
    others = [fleet.client(agent.token) for _ in range(8)]
    agent.ok("POST", "/v1/keys/%s/sign" % invoice, SIGN)
    refused = agent.post("/v1/keys/%s/sign" % treasury, SIGN)
    assert refused.status == 403
    found = []
    threads = [threading.Thread(target=lambda c=c: found.append(c.post("/v1/keys/%s/sign" % invoice, SIGN)))
               for c in others]
    [t.start() for t in threads]
    [t.join(30) for t in threads]
    assert [a.status for a in found] == [401] * len(others), found


def test_every_request_has_one_event_in_order(fleet, admin, unique):
    alias = unique("key")
    fleet.key(admin, alias)
    answers = [admin.post("/v1/keys/%s/sign" % alias, SIGN) for _ in range(20)]
    answers += [admin.get("/v1/keys/" + unique("none")) for _ in range(5)]
    for answer in answers:
        [event] = fleet.event_of(admin, answer)
        assert event["event_id"] == "evt_" + answer.headers["x-request-id"].replace("-", "")
        assert event["status"] == answer.status
    seqs = [e["seq"] for e in fleet.events(admin)]
    assert seqs == sorted(set(seqs))


# ------------------------------------------------------------------ crashes

class Load:
    """Clients that sign and create until told to stop, noting every answer."""

    def __init__(self, fleet, who, alias, clients=4):
        self.fleet, self.alias, self.token = fleet, alias, who.token
        self.answers, self.errors, self.created = [], [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(clients)]
        self.lock = threading.Lock()

    def work(self, n):
        client, i = self.fleet.client(self.token, timeout_s=15), 0
        while not self.stopping.is_set():
            i += 1
            try:
                if i % 10 == 0:
                    name = "load-%d-%d-%d" % (threading.get_ident() % 100000, n, i)
                    answer = client.post("/v1/keys", {"key_spec": "EC_P256", "alias": name})
                    if answer.status == 201:
                        with self.lock:
                            self.created.append(name)
                else:
                    answer = client.post("/v1/keys/%s/sign" % self.alias, SIGN)
                with self.lock:
                    self.answers.append(answer)
                if answer.status != 200 and answer.status != 201:
                    self.stopping.wait(0.02)  # as a client that was told to come back would
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.errors.append(error)
                client.close()
                try:
                    client = self.fleet.client(self.token, timeout_s=15)
                except (OSError, ValueError):
                    pass
                self.stopping.wait(0.02)

    def __enter__(self):
        [t.start() for t in self.threads]
        wait_for(lambda: len(self.answers) > 50, 20, what="the load")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        [t.join(30) for t in self.threads]

    def good(self):
        return sum(a.status in (200, 201) for a in self.answers)


RETRY = {429, 503, 504}


def check_record(fleet, who, load):
    """Afterwards: journal and audit agree with what clients were told."""
    wrong = collections.Counter((a.status, a.data[:200]) for a in load.answers
                                if a.status not in (200, 201) and a.status not in RETRY)
    assert not wrong, wrong
    who = fleet.client(who.token)  # the old connection may be gone
    events = fleet.all_events()
    by_request = collections.Counter(e["request_id"] for e in events
                                     if e["request_id"] and e["event_type"] == "request")
    missing = [a for a in load.answers if by_request[a.headers["x-request-id"]] != 1 and not
               (a.status == 503 and a.json["reason_code"] == "audit")]
    assert not missing, (len(missing), [(a, by_request[a.headers["x-request-id"]]) for a in missing[:3]])
    by_id = dict((e["request_id"], e) for e in events if e["event_type"] == "request")
    for a in load.answers:
        event = by_id.get(a.headers["x-request-id"])
        if event is not None and not (a.status == 503 and a.json["reason_code"] == "audit"):
            assert event["status"] == a.status, (a, event)
    for tenant in set(e["tenant"] for e in events):
        seqs = sorted(e["seq"] for e in events if e["tenant"] == tenant)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "numbers without a gap, none twice"
    # every key that a client was told of is there, and every one that is there has a record
    there = set(k["alias"] for k in who.items("/v1/keys?limit=1000&alias_prefix=load-"))
    assert set(load.created) <= there
    recorded = set((e["resource"] or {}).get("alias") for e in events if e["operation"] == "key.create")
    assert there <= recorded, there - recorded


def kill_one(fleet, who, name):
    alias = "k-" + re.sub("[^a-z0-9]", "-", name)
    fleet.key(who, alias)
    with Load(fleet, who, alias) as load:
        pid = fleet.processes()[name]
        os.kill(pid, signal.SIGKILL)
        before = load.good()
        wait_for(lambda: fleet.processes().get(name, 0) not in (0, pid), 30, 0.1, name + " to be started again")
        wait_for(lambda: load.good() > before + 200, 60, 0.1, "good answers after " + name + " came back")
    check_record(fleet, who, load)


@pytest.mark.parametrize("name", ["broker", "software", "journal", "audit", "iam", "keys.0", "inventory", "history",
                                  "risk", "responder", "anomaly", "topics", "rest"])
def test_kill_any_process_under_load(fresh_fleet, name):
    fleet = fresh_fleet()
    listed = names(fleet)
    if name not in listed:
        name = next((n for n in listed if n.split(".")[0] == name.split(".")[0]), None)
    assert name is not None, listed
    admin = fleet.admin()
    kill_one(fleet, admin, name)
    fleet.stop()
    verify(fleet)


def verify(fleet):
    done = fleet.run("audit", "verify", "--dir", fleet.state + "/audit", "--public-key",
                     fleet.state + "/audit/public-key.pem", check=0)
    assert re.match(r"audit: \d+ events verified", done.stdout.splitlines()[-1])


def test_supervisor_killed_ends_the_fleet_and_the_next_up_loses_nothing(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "kept")
    pids = [p for p in fleet.processes().values() if p]
    with Load(fleet, admin, "kept") as load:
        fleet.kill()
        wait_for(lambda: not any(os.path.exists("/proc/%d" % p) and
                                 "Z" != open("/proc/%d/stat" % p).read().rsplit(")", 1)[1].split()[0]
                                 for p in pids if os.path.exists("/proc/%d/stat" % p)), 15, what="the fleet's end")
    fleet.start()
    check_record(fleet, fleet.admin(), load)
    fleet.stop()
    verify(fleet)


# ----------------------------------------------------------------- restarts

def test_restart_loses_nothing(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    alice = fleet.person("alice", ["key-admin", "agent-issuer", "auditor"])
    made = fleet.key(alice, "kept", labels={"a": "b"})
    agent = fleet.agent(alice, ["key:kept:sign"])
    dead = fleet.agent(alice, ["key:kept:sign"])
    signature = agent.ok("POST", "/v1/keys/kept/sign", SIGN)["signature_b64"]
    alice.ok("POST", "/v1/agents/%s/revoke" % dead.id, {"reason": "r"})
    alice.ok("POST", "/v1/keys/kept/rotate")
    before = len(fleet.events(admin))
    fleet.stop()
    fleet.start()
    admin, alice, agent, dead = (fleet.client(c.token) for c in (admin, alice, agent, dead))
    key = alice.ok("GET", "/v1/keys/kept")
    assert (key["id"], key["version"], key["labels"]) == (made["id"], 2, {"a": "b"})
    verified = alice.ok("POST", "/v1/keys/kept/verify", dict(SIGN, signature_b64=signature))
    assert (verified["valid"], verified["key_version"]) == (True, 1)
    agent.ok("POST", "/v1/keys/kept/sign", SIGN)
    assert dead.post("/v1/keys/kept/sign", SIGN).reason == "token_revoked"
    assert len(fleet.events(admin)) > before
    fleet.stop()
    verify(fleet)


def spoil(snapshots):
    """Each of them in another way: gone, cut off, overwritten, not where a file should be."""
    names = sorted(os.listdir(snapshots))
    assert len(names) >= 4, names
    for n, name in enumerate(names):
        data = os.path.join(snapshots, name, "data.mdb")
        if n % 3 == 0:
            shutil.rmtree(os.path.join(snapshots, name))
        elif n % 3 == 1:
            os.truncate(data, os.path.getsize(data) // 2)
        else:
            with open(data, "r+b") as out:
                out.write(os.urandom(8192))


def test_restart_without_snapshots_is_the_same(fresh_fleet):
    """Snapshots are a cache: the journal alone is the truth, and its hash that of before."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "kept")
    fleet.key(admin, "gone")
    admin.ok("POST", "/v1/keys/gone/compromise", {"reason": "test"})
    agent = fleet.agent(admin, ["key:kept:sign"])
    fleet.agent(admin, ["key:kept:sign"], label="other")
    lists = ["/v1/keys", "/v1/agents", "/v1/principals"]
    before = [admin.items(path) for path in lists]
    fleet.stop()
    state = fleet.run("journal", "hash", check=0).stdout
    spoil(os.path.join(fleet.state, "snapshots"))
    fleet.start()
    admin = fleet.admin()
    assert [admin.items(path) for path in lists] == before
    assert fleet.run("journal", "hash", check=0).stdout == state
    fleet.client(agent.token).ok("POST", "/v1/keys/kept/sign", SIGN)
    assert admin.post("/v1/keys/gone/activate", {}).status == 409


def test_down_leaves_no_process_and_no_socket(fresh_fleet):
    fleet = fresh_fleet()
    port = int(fleet.url.rsplit(":", 1)[1])
    pids = [p for p in fleet.processes().values() if p]
    assert len(pids) > 10
    fleet.stop()
    assert not [p for p in pids if os.path.exists("/proc/%d" % p)]
    found = [os.path.join(d, f) for d, _, fs in os.walk(fleet.state) for f in fs
             if not os.path.isfile(os.path.join(d, f))]
    assert not found
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


# ---------------------------------------------------------------- overload

def test_overload_is_503_at_the_plane(fresh_fleet):
    """More connections and requests than the fleet's budget: told to come back, nothing lost, nothing grows."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "hot")
    with Load(fleet, admin, "hot", clients=48) as load:
        wait_for(lambda: len(load.answers) > 3000, 60, what="the flood")
    assert not load.errors, load.errors[:3]
    check_record(fleet, admin, load)


def test_degraded_without_risk(fresh_fleet):
    """Without risk iam passes reads on, marked degraded, and refuses the rest."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    fleet.key(admin, "k")
    pid = fleet.processes()["risk"]
    os.kill(pid, signal.SIGSTOP)  # there, but silent: requests cost their deadline
    try:
        begin = time.monotonic()
        answer = admin.post("/v1/keys/k/sign", SIGN)
        assert answer.status in (503, 504) and time.monotonic() - begin < 10
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: admin.post("/v1/keys/k/sign", SIGN).status == 200, 20, what="risk to be back")

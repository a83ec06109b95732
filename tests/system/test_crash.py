# SPDX-License-Identifier: Apache-2.0
"""Changes survive: every process is killed while clients change things, then
the whole fleet; the disk is filled; and what snapshots hold is thrown away."""
import collections
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

from conftest import wait_for

SIGN = {"message_b64": "aGVsbG8="}
UNCERTAIN = {429, 503, 504}  # try again, with the same Idempotency-Key
PATIENCE_S = 40


class Changer(threading.Thread):
    """Makes keys and agents and changes them, each change under one
    Idempotency-Key until it has its answer; remembers what it was told."""

    def __init__(self, fleet, token, n, stopping):
        super().__init__()
        self.fleet, self.token, self.n, self.stopping = fleet, token, n, stopping
        self.keys, self.agents = {}, {}  # as they must be afterwards
        self.answers, self.wrong, self.retried = [], [], 0
        self.client = None

    def once(self, path, body, headers):
        try:
            if self.client is None:
                self.client = self.fleet.client(self.token, timeout_s=8)
            return self.client.post(path, body, headers=headers)
        except (OSError, ValueError, http.client.HTTPException):
            self.client = None
            return None

    def change(self, path, body=None):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.once(path, body, headers)
            if answer is not None:
                self.answers.append(answer)
                if answer.status not in UNCERTAIN:
                    break
            assert time.monotonic() < end, "no answer for %s: %r" % (path, answer)
            self.retried += 1
            time.sleep(0.05)
        if not 200 <= answer.status < 300:
            self.wrong.append((path, answer))
            raise AssertionError("%s: %r" % (path, answer))
        return answer.json

    def key(self, i):
        alias = "crash-%d-%d" % (self.n, i)
        made = self.change("/v1/keys", {"key_spec": "EC_P256", "alias": alias})
        self.keys[alias] = dict(id=made["id"], state="PreActive", version=1, destroy=False)
        self.change("/v1/keys/%s/activate" % alias)
        self.keys[alias]["state"] = "Active"
        for version in (2, 3):
            assert self.change("/v1/keys/%s/rotate" % alias)["version"] == version
            self.keys[alias]["version"] = version
        if i % 2 == 0:
            self.change("/v1/keys/%s/compromise" % alias, {"reason": "leaked"})
            self.keys[alias]["state"] = "Compromised"
        if i % 4 == 0:
            self.change("/v1/keys/%s/destroy" % alias, {"reason": "done", "pending_window_s": 86400})
            self.keys[alias]["destroy"] = True

    def agent(self, i):
        label = "crash-%d-%d" % (self.n, i)
        made = self.change("/v1/agents/issue", {"label": label, "scopes": ["key:none:sign"]})
        self.agents[label] = dict(id=made["agent_id"], state="live")
        if i % 2 == 0:
            self.change("/v1/agents/%s/revoke" % made["agent_id"], {"reason": "done"})
            self.agents[label]["state"] = "revoked"

    def run(self):
        i = 0
        while not self.stopping.is_set():
            i += 1
            try:
                self.key(i)
                self.agent(i)
            except AssertionError as error:
                self.wrong.append(error)
                return


class Changers:
    def __init__(self, fleet, token, count=3):
        self.stopping = threading.Event()
        self.all = [Changer(fleet, token, n, self.stopping) for n in range(count)]

    def __enter__(self):
        [c.start() for c in self.all]
        wait_for(lambda: self.answered() > 10, 20, what="the first changes")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        [c.join(3 * PATIENCE_S) for c in self.all]

    def answered(self):
        return sum(len(c.answers) for c in self.all)

    def merged(self, what):
        return dict(pair for c in self.all for pair in getattr(c, what).items())


def gone(pid):
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def kill_all(fleet):
    pids = [p for p in fleet.processes().values() if p]
    fleet.kill()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: all(gone(p) for p in pids), 15, what="the fleet's end")


def told(fleet):
    """What clients are told of the state, to be compared."""
    admin = fleet.admin()
    keys = dict((k["alias"], admin.ok("GET", "/v1/keys/" + k["id"])) for k in admin.items("/v1/keys?limit=1000"))
    agents = dict((a["id"], admin.ok("GET", "/v1/agents/" + a["id"])) for a in admin.items("/v1/agents?limit=1000"))
    people = sorted(json.dumps(p, sort_keys=True) for p in admin.items("/v1/principals?limit=1000"))
    for agent in agents.values():  # what was seen of it is no state of the journal's
        for name in ("last_seen_at", "last_used_at", "calls"):
            agent.pop(name, None)
    admin.close()
    return keys, agents, people


def check_state(fleet, changers):
    admin = fleet.admin()
    keys = admin.items("/v1/keys?limit=1000&alias_prefix=crash-")
    there = collections.Counter(k["alias"] for k in keys)
    assert not [a for a, n in there.items() if n > 1]
    for alias, want in changers.merged("keys").items():
        key = admin.ok("GET", "/v1/keys/" + alias)
        got = dict(id=key["id"], state=key["state"], version=key["version"], destroy=key["destroy_at"] is not None)
        assert got == want, alias
    labels = collections.Counter(a["label"] for a in admin.items("/v1/agents?limit=1000"))
    assert not [x for x, n in labels.items() if x.startswith("crash-") and n > 1], "issued twice"
    for label, want in changers.merged("agents").items():
        assert admin.ok("GET", "/v1/agents/" + want["id"])["state"] == want["state"], label


def check_record(fleet, changers):
    events = fleet.all_events()
    mine = [e for e in events if e["request_id"] and e["event_type"] == "request"]
    per_request = collections.Counter(e["request_id"] for e in mine)
    assert not [r for r, n in per_request.items() if n > 1], "two outcomes of one request"
    by_id = dict((e["request_id"], e) for e in mine)
    for c in changers.all:
        for answer in c.answers:
            if answer.status == 503 and answer.json["reason_code"] == "audit":
                continue  # counted, and owed as one event
            event = by_id.get(answer.headers["x-request-id"])
            assert event is not None and event["status"] == answer.status, (answer, event)
    late = collections.Counter(e["cause_event_id"] for e in events if e["event_type"] == "outcome_late")
    assert not [r for r, n in late.items() if n > 1], "two late outcomes of one request"
    # Journal and audit agree: every change has its record, whoever was killed.
    done = collections.Counter((e["operation"], (e["resource"] or {}).get("id")) for e in events
                               if e["outcome"] == "allowed" and e["event_type"] in ("request", "outcome_late"))
    admin = fleet.admin()
    for key in admin.items("/v1/keys?limit=1000&alias_prefix=crash-"):
        assert done["key.create", key["id"]] >= 1, key
        assert done["key.rotate", key["id"]] >= key["version"] - 1, key
        assert key["state"] != "Compromised" or done["key.compromise", key["id"]] >= 1, key
    for agent in changers.merged("agents").values():
        assert agent["state"] != "revoked" or done["agent.revoke", agent["id"]] >= 1, agent


def verify(fleet):
    done = fleet.run("audit", "verify", "--dir", fleet.state + "/audit", "--public-key",
                     fleet.state + "/audit/public-key.pem", check=0)
    assert re.match(r"audit: \d+ events verified", done.stdout.splitlines()[-1])


def marks_agree(fleet, changers):
    """Redelivery is over when every change has its record."""
    def agree():
        try:
            check_record(fleet, changers)
            return True
        except AssertionError:
            return False
    try:
        wait_for(agree, 8, 0.5)
    except AssertionError:
        check_record(fleet, changers)  # says what is wrong


def test_every_process_is_killed_under_changes(fresh_fleet):
    fleet = fresh_fleet()
    token = fleet.token()
    with Changers(fleet, token) as changers:
        for name in ("audit", "journal", "broker", "keys.0", "iam", "software", "rest", "risk", "inventory",
                     "responder", "audit", "journal", "broker"):
            pid = fleet.processes().get(name)
            if not pid:
                continue
            before = changers.answered()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: changers.answered() > before + 15, 30, what="answers after " + name)
        kill_all(fleet)
        fleet.start()
        before = changers.answered()
        wait_for(lambda: changers.answered() > before + 30, 30, what="answers after all were killed")
    wrong = [w for c in changers.all for w in c.wrong]
    assert not wrong, wrong[:3]
    assert sum(c.retried for c in changers.all) > 0, "nothing was hit"
    check_state(fleet, changers)
    marks_agree(fleet, changers)
    before = told(fleet)
    fleet.stop()
    verify(fleet)
    shutil.rmtree(os.path.join(fleet.state, "snapshots"))
    fleet.start()
    assert told(fleet) == before, "the journal alone says the same"


def damage(folder, how):
    if how == "missing":
        shutil.rmtree(folder)
        return
    path = os.path.join(folder, "data.mdb")
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if how == "cut":
            file.truncate(size // 2)
        else:
            file.write(os.urandom(8192))


@pytest.mark.parametrize("how", ["missing", "cut", "noise"])
def test_each_snapshot_is_rebuilt(fresh_fleet, how):
    fleet = fresh_fleet()
    with Changers(fleet, fleet.token(), 2) as changers:
        wait_for(lambda: changers.answered() > 60, 30, what="some changes")
    before = told(fleet)
    fleet.stop()
    folder = os.path.join(fleet.state, "snapshots")
    for name in sorted(os.listdir(folder)):
        if os.path.isdir(os.path.join(folder, name)):
            damage(os.path.join(folder, name), how)
    fleet.start()
    assert told(fleet) == before
    fleet.stop()
    verify(fleet)


@pytest.fixture
def small_disk():
    """A file system of its own that is easily filled, at a path that leaves room for a socket's."""
    place = tempfile.mkdtemp(prefix="aegis-disk-")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", place],
                                           capture_output=True).returncode != 0:
        os.rmdir(place)
        pytest.skip("may not mount")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    os.rmdir(place)


def fill(path):
    with open(path, "wb") as file:
        try:
            for size in (1 << 20, 1 << 12):
                while True:
                    file.write(b"x" * size)
                    file.flush()
        except OSError:
            pass


def test_a_full_disk_refuses_and_heals(small_disk, fresh_fleet):
    state = os.path.join(small_disk, "state")
    fleet = fresh_fleet(start=False, state=state)
    fleet.configure({"audit": {"segment_bytes": 1 << 20}, "limits": {
        "address": {"rate": 1000000, "window_s": 60}, "principal": {"rate": 1000000, "window_s": 60}},
        "sinks": [{"name": "everything", "kind": "file", "path": "everything.jsonl"}]})
    fleet.start()
    with Changers(fleet, fleet.token(), 2) as changers:
        fill(os.path.join(small_disk, "ballast"))
        seen = len(changers.all[0].answers)
        refused = wait_for(lambda: [a for c in changers.all for a in c.answers if a.status == 503], 60,
                           what="the disk's end")
        assert set(a.code for a in refused) == {"Unavailable"}, (seen, refused[:3])
        time.sleep(2)
        os.unlink(os.path.join(small_disk, "ballast"))
        before = changers.answered()
        wait_for(lambda: sum(a.status in (200, 201) for c in changers.all for a in c.answers[-10:]) > 15, 40,
                 what="changes after there is room again (%d)" % before)
    wrong = [w for c in changers.all for w in c.wrong]
    assert not wrong, wrong[:3]
    check_state(fleet, changers)
    marks_agree(fleet, changers)
    fleet.stop()
    verify(fleet)

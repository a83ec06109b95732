# SPDX-License-Identifier: Apache-2.0
"""Three nodes share rates through Redis, and what they do without it."""
import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from conftest import CONFIG, HIGH, b64, wait_for
from servers import Redis
from test_stepup import enrol, fleet_time, next_step, refused, step_up

SIGN = {"message_b64": b64(b"hello")}
PASSWORD = "a password of the store"
SLOW = {"enabled": True, "timeout_ms": 1000}  # a busy machine is no Redis that is away
RATES = {"shared": 600, "killed": 40, "healed": 60, "stopped": 40, "woken": 60, "small": 3}


@pytest.fixture(scope="module")
def redis():
    made = Redis(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


@pytest.fixture
def nodes(redis, fresh_fleet):
    """Three fleets that know of each other by their rates alone: a tenant's name is the same on both."""
    rules = [{"resource": name, "operation": "key.sign", "per": "tenant", "rate": rate, "window_s": 3600}
             for name, rate in RATES.items()]
    config = dict(CONFIG, limits=dict(CONFIG["limits"], rules=rules),
                  shared=dict(SLOW, redis=redis.url, password_file=redis.secret, nodes=3))
    made = [fresh_fleet(config) for _ in range(3)]
    for node in made:
        admin = node.admin()
        for name in RATES:
            node.key(admin, name)
        wait_for(lambda n=node: there(n), 30, what="Redis to be found")
    return made


def health(node):
    return "".join(c["detail"] or "" for c in node.client().get("/healthz/ready").json["checks"] if c["name"] == "shared")


def there(node):
    return node.client().get("/healthz/ready").json["status"] == "ok"


def missed(nodes):
    """How often a node lost Redis or went by its own part: rates are shared exactly while that stays as it is."""
    return sum(int(float(n)) for node in nodes
               for n in re.findall(r"^aegis_(?:shared_away|shared_unknown|iam_rates_local)_total\S* (\S+)$",
                                   node.client().get("/metrics").data.decode(), re.M))


def sign(who, key, late=()):
    begun = time.monotonic()
    got = who.post("/v1/keys/%s/sign" % key, SIGN)
    assert time.monotonic() - begun < 10  # its deadline is 2 s
    assert got.status in (200, 429) + tuple(late), got
    if got.status == 429:
        assert got.code == "RateLimited" and int(got.headers["retry-after"]) > 0
    return got.status


def spend(nodes, key, clients=3, late=()):
    """Each node's clients sign until they are told to stop; how many it was, by node."""
    counts = [0] * len(nodes)
    lock = threading.Lock()

    def run(number):
        who = nodes[number].admin()
        while (status := sign(who, key, late)) != 429:
            with lock:
                counts[number] += status == 200
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(nodes)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def spend_all(nodes, key, rate):
    """Until nothing is left in any node's hands; never more than the rate."""
    total, before = [0] * len(nodes), missed(nodes)

    def none_left():
        for i, n in enumerate(spend(nodes, key)):
            total[i] += n
        new = missed(nodes) - before
        assert sum(total) <= rate + new, total
        return sum(total) == rate or new > 0
    wait_for(none_left, 30, 0.1, "%d signatures with %s, not %s" % (rate, key, total))
    return total


def test_nodes_share_a_rate_and_live_without_redis(nodes, redis):
    before = missed(nodes)
    first = spend(nodes, "shared")
    if missed(nodes) == before:
        assert 594 <= sum(first) <= 600 and min(first) > 0, first  # 1 %
    spend_all(nodes, "shared", 600 - sum(first))
    if missed(nodes) == before:
        assert sum(spend(nodes, "shared")) == 0
    shown = nodes[1].admin().post("/v1/keys/shared/sign", SIGN)
    assert shown.status == 429 and shown.headers["ratelimit-policy"].endswith("q=600;w=3600")
    spend_all(nodes, "small", 3)

    # Redis dies: each node has its part, no more, and nobody waits for it.
    redis.kill()
    wait_for(lambda: not any(there(node) for node in nodes), 30, what="all to know")
    assert spend(nodes, "killed") == [13, 13, 13]
    status = nodes[0].run("status", check=0).stdout
    assert [line for line in status.splitlines() if line.startswith("shared ") and "degraded" in line], status
    # It is back, empty: they share again.
    redis.start()
    wait_for(lambda: all(there(node) for node in nodes), 30, what="all to be back")
    spend_all(nodes, "healed", 60)

    # It stands still: asked for in vain within the time-out, then not asked.
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        # Who waited may have been too late for an answer; it counts all the same.
        counts = spend(nodes, "stopped", late=(504,))
        assert all(0 < n <= 13 for n in counts), counts
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    wait_for(lambda: all(there(node) for node in nodes), 30, what="all to be back")
    spend_all(nodes, "woken", 60)
    for node in nodes:
        assert PASSWORD not in open(node.log, errors="replace").read()
        pid = node.processes()["shared"]
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in open("/proc/%d/%s" % (pid, name), "rb").read()


def test_a_code_is_good_once_on_all_nodes(redis, fresh_fleet):
    """Two nodes with one root of trust: here one is a copy of the other's state."""
    config = dict(CONFIG, shared=dict(SLOW, redis=redis.url, password_file=redis.secret, prefix="codes"))
    strict = dict(config, risk={"step_up": 0, "deny": 0.9})
    redis.run("SET", "codes:born", "0")  # its memory is as old as it has to be
    first = fresh_fleet(config)
    first.key(first.admin(), "k")
    wait_for(lambda: there(first), 30, what="Redis to be found")
    device = enrol(first, first.admin(), "admin")
    first.stop()
    first.configure(strict)
    second = fresh_fleet(strict, start=False)
    shutil.copytree(first.state, second.state, dirs_exist_ok=True)
    second.move_clock(first.offset)
    nodes = [first.start(), second.start()]
    for node in nodes:
        wait_for(lambda n=node: there(n), 30, what="Redis to be found")

    def answer(node, code):
        asked = node.admin().post("/v1/keys/k/sign", SIGN)
        assert (asked.status, asked.code) == (401, "StepUpRequired"), asked
        return node.admin().post("/v1/keys/k/sign", SIGN, headers=step_up(asked.json["challenge_id"], code))

    def fresh():
        """The code of a step that has not been used, for both clocks."""
        next_step(first)
        second.move_clock(first.offset - second.offset)
        wait_for(lambda: abs(fleet_time(second) - second.now()) < 5, what="the other clock to be moved")
        return device.code()
    code = fresh()
    assert answer(nodes[0], code).status == 200
    refused(answer(nodes[1], code), 401, "StepUpFailed", "code_used")
    code = fresh()
    assert answer(nodes[1], code).status == 200
    refused(answer(nodes[0], code), 401, "StepUpFailed", "code_used")
    # What nobody can say is no: without Redis, and with one that has just lost its memory.
    redis.kill()
    wait_for(lambda: not any(there(node) for node in nodes), 30, what="all to know")
    code = fresh()
    got = answer(nodes[0], code)
    refused(got, 503, "Unavailable", "overloaded")
    assert int(got.headers["retry-after"]) > 0
    redis.start()
    for node in nodes:
        wait_for(lambda n=node: there(n), 30, what="Redis to be back")
    refused(answer(nodes[0], code), 503, "Unavailable", "overloaded")
    redis.run("SET", "codes:born", "0")
    assert answer(nodes[0], code).status == 200
    refused(answer(nodes[1], code), 401, "StepUpFailed", "code_used")
    # Nor with one that may forget what it was told.
    redis.run("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    try:
        redis.run("CLIENT", "KILL", "TYPE", "normal")
        wait_for(lambda: "noeviction" in nodes[0].run("doctor").stdout, 30, what="a doctor's word")
        wait_for(lambda: all("maxmemory" in health(node) for node in nodes), 30, what="both to see it")
        refused(answer(nodes[0], fresh()), 503, "Unavailable", "overloaded")
    finally:
        redis.run("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")


class Liar:
    """Poses as Redis: greets as it should, and answers questions as `answer` says (bytes, or None: not at all)."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "liar.sock")
        self.answer, self.asked = None, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            lines = conn.makefile("rb")
            while True:
                count = int(lines.readline()[1:])
                words = []
                for _ in range(count):
                    words.append(lines.read(int(lines.readline()[1:]) + 2)[:-2])
                conn.sendall(self.say(words) or b"")
        except (OSError, ValueError):
            conn.close()

    def say(self, words):
        if words[0] == b"SCRIPT":
            return b"$40\r\n" + b"a" * 40 + b"\r\n"
        if words[0] == b"INFO":
            return b"$13\r\nmaxmemory:0\r\n\r\n"
        if words[2] == b"2":  # which nodes there are
            return b":1\r\n"
        self.asked += 1
        return self.answer


def test_a_redis_that_lies_ends_no_process(fresh_fleet, tmp_path):
    huge = b"".join(b":%d\r\n" % n for n in (2 ** 62, -5, 2 ** 62, -1, 2 ** 63 - 1, -2 ** 63))
    lies = (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$900000000\r\n" + b"x" * (4 << 20), b"*1\r\n" * 40, b"*-7\r\n",
            b"*2000000000\r\n", b"*6\r\n" + b"$1\r\n1\r\n" * 6, b"*3\r\n" + b":1\r\n" * 3, b"-OOM no\r\n", b"",
            b"*6\r\n" + huge)
    liar = Liar(str(tmp_path))
    rules = [{"resource": "k%d" % n, "operation": "key.sign", "per": "tenant", "rate": 30, "window_s": 3600}
             for n in range(len(lies))]
    none = {"rate": 0}
    fleet = fresh_fleet(dict(CONFIG, limits={"address": HIGH, "principal": none, "key": none, "rules": rules},
                             shared={"enabled": True, "redis": "unix:" + liar.path, "nodes": 10}))
    admin = fleet.admin()
    for n in range(len(lies)):
        fleet.key(admin, "k%d" % n)
    pid = fleet.processes()["shared"]
    for n, answer in enumerate(lies):
        wait_for(lambda: there(fleet), 30, what="the liar to be believed")
        liar.answer, before = answer, liar.asked
        wait_for(lambda: sign(admin, "k%d" % n) in (200, 429) and liar.asked > before, 30, 0.1, "a question")
    assert fleet.processes()["shared"] == pid
    # The last one says yes to everything: the node stops at the whole rate by its own count.
    wait_for(lambda: sign(admin, "k%d" % n) == 429, 30, 0, "an end")
    done = [e for e in fleet.all_events() if e["operation"] == "key.sign" and e["outcome"] == "allowed"]
    assert len([e for e in done if e["resource"]["alias"] == "k%d" % n]) <= 30
    assert len([e for e in done if e["resource"]["alias"] == "k0"]) <= 3
    liar.listener.close()

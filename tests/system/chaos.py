# SPDX-License-Identifier: Apache-2.0
"""Load whose every answer is remembered, for tests that break things meanwhile: clients that work on the same few keys
at the same time, so that what they were told is a history to be explained (linear.py), and agents that are revoked."""
import collections
import http.client
import os
import random
import re
import threading
import time

from conftest import Client as Caller, b64, wait_for
from linear import REFUSED, UNKNOWN, Op, unexplained_keys

PER_KEY = 40       # operations before the clients go on to another key
CLIENTS = 4
REASON = {"reason": "chaos"}
CALLS = {  # how often, the route, what it carries
    "sign": (40, "POST", "/sign", {"message_b64": b64(b"chaos")}),
    "read": (25, "GET", "", None),
    "rotate": (20, "POST", "/rotate", None),
    "create": (4, "POST", None, None),
    "deactivate": (2, "POST", "/deactivate", REASON),
    "compromise": (2, "POST", "/compromise", REASON),
    "destroy": (2, "POST", "/destroy", {"reason": "chaos", "pending_window_s": 86400}),
}
NO_EFFECT = {401, 403, 429}
NOT_RECORDED = ("Unavailable", "audit")  # counted, and owed as one event


class Worker(threading.Thread):
    def __init__(self, load, n):
        super().__init__(name="client-%d" % n)
        self.load, self.random, self.http = load, random.Random("%s-%d" % (load.seed, n)), None
        self.answers, self.ops, self.wrong, self.lost = [], [], [], 0

    def ask(self, method, path, body, token=None):
        """The answer, or None; a connection that failed is made anew."""
        try:
            if self.http is None:
                self.http = Caller(self.load.url, timeout_s=8)
            self.http.token = token or self.load.token
            answer = self.http.request(method, path, body)
            answer.headers["x-request-id"], answer.headers["content-length"]  # else its head was cut
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            self.http, self.lost = None, self.lost + 1
            return None
        self.answers.append(answer)
        return answer

    def result(self, call, answer):
        if answer is None or answer.status >= 500:
            return UNKNOWN
        if answer.status in (404, 409):
            return REFUSED
        if not 200 <= answer.status < 300:
            self.wrong.append((call, answer))
            return UNKNOWN
        told = answer.json
        return (None, told["key_version"]) if call == "sign" else (told["state"], told["version"])

    def work(self, alias):
        call = self.random.choices(list(CALLS), [row[0] for row in CALLS.values()])[0]
        _, method, path, body = CALLS[call]
        if call == "create":
            path, body = "/v1/keys", {"key_spec": "EC_P256", "alias": alias, "activate": True}
        else:
            path = "/v1/keys/" + alias + path
        start = time.monotonic()
        answer = self.ask(method, path, body)
        end = time.monotonic()
        if answer is not None and answer.status in NO_EFFECT:
            return
        result = self.result(call, answer)
        self.ops.append((alias, Op(start, float("inf") if result is UNKNOWN else end, call, result)))

    def agent(self):
        """Issued, used, revoked, and tried again."""
        made = self.ask("POST", "/v1/agents/issue", {"label": "chaos", "scopes": ["key:%s:sign" % self.load.alias()]})
        if made is None or made.status != 201:
            return
        path, body = "/v1/keys/%s/sign" % self.load.alias(), CALLS["sign"][3]
        self.ask("POST", path, body, token=made.json["token"])
        revoked = self.ask("POST", "/v1/agents/%s/revoke" % made.json["agent_id"], REASON)
        again = self.ask("POST", path, body, token=made.json["token"])
        if revoked is not None and revoked.status < 300 and again is not None and again.status < 300:
            self.wrong.append(("a revoked agent signs", again))

    def run(self):
        turn = 0
        while not self.load.stopping.is_set():
            turn += 1
            self.work(self.load.next_alias())
            if turn % 25 == 0:
                self.agent()
            if self.answers and self.answers[-1].status >= 500:
                time.sleep(0.02)


class Load:
    """with Load(fleet, seed) as load: break things; afterwards load.check()."""

    def __init__(self, fleet, seed, url=None):
        self.fleet, self.seed, self.url, self.token = fleet, seed, url or fleet.url, fleet.token()
        self.stopping, self.lock, self.turn = threading.Event(), threading.Lock(), 0
        self.all = [Worker(self, n) for n in range(CLIENTS)]

    def alias(self):
        return "chaos-%d" % (self.turn // PER_KEY)

    def next_alias(self):
        with self.lock:
            self.turn += 1
            return self.alias()

    def __enter__(self):
        [c.start() for c in self.all]
        self.more(20, "the first answers")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        [c.join(30) for c in self.all]

    def done(self):
        return sum(1 for c in list(self.all) for a in list(c.answers) if a.status < 300)

    def more(self, n, what, timeout_s=30):
        """Waits for so many more requests that succeed."""
        before = self.done()
        wait_for(lambda: self.done() >= before + n, timeout_s, 0.05, what)

    def histories(self):
        found = collections.defaultdict(list)
        for client in self.all:
            for alias, op in client.ops:
                found[alias].append(op)
        return found

    def check(self):
        """Every promise, once the fleet is quiet; then the fleet is stopped and its log verified."""
        wrong = [w for c in self.all for w in c.wrong]
        assert not wrong, wrong[:3]
        histories = self.histories()
        admin = self.fleet.admin()
        for alias in list(histories):  # how it ended is a part of the story
            start = time.monotonic()
            answer = wait_for(lambda: ended(admin.get("/v1/keys/" + alias)), 30, 0.2, "an answer in peace")
            result = REFUSED if answer.status == 404 else (answer.json["state"], answer.json["version"])
            histories[alias].append(Op(start, time.monotonic(), "read", result))
        bad = unexplained_keys(histories)
        assert not bad, "no order explains %s: %r" % (bad[0], sorted(histories[bad[0]]))
        try:
            wait_for(lambda: not self.unrecorded(), 10, 0.5, "the record")
        except AssertionError:
            assert not self.unrecorded()
        self.fleet.stop()
        done = self.fleet.run("audit", "verify", "--dir", self.fleet.state + "/audit", "--public-key",
                              self.fleet.state + "/audit/public-key.pem", check=0)
        assert re.match(r"audit: \d+ events verified", done.stdout.splitlines()[-1])

    def unrecorded(self):
        """Answers whose event is missing, another one, or there twice."""
        mine = collections.defaultdict(list)
        for event in self.fleet.all_events():
            if event["request_id"] and event["event_type"] == "request":
                mine[event["request_id"]].append(event)
        return [(answer, mine.get(answer.headers["x-request-id"])) for c in self.all for answer in c.answers
                if not (answer.status == 503 and (answer.code, answer.reason) == NOT_RECORDED) and
                [e["status"] for e in mine.get(answer.headers["x-request-id"], [])] != [answer.status]] + \
            [events for events in mine.values() if len(events) > 1]


def ended(answer):
    return answer if answer.status in (200, 404) else None


def seed_of():
    """Another story each time, unless CHAOS_SEED says which; a failing test prints it."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
    print("again: CHAOS_SEED=%d" % seed)
    return seed

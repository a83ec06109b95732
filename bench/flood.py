#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A flood of bad credentials, and what good clients feel of it (RL07): `make flood`.

wrk sends requests with a token that nobody signed, as fast as the machine can, from one address; meanwhile good
clients at another address sign at a steady pace, whether answers come or not. Printed: their p50 and p99 without and
with the flood, the flood's rate, and what the plane's and iam's memory grew by.

  bench/flood.py [BUILD] [--seconds N] [--rounds N]
"""
import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
GOOD_FROM = "127.0.0.2"  # not the flood's address
CLIENTS, EACH_PER_S = 8, 25
HIGH = {"rate": 100000000, "window_s": 60}
# The limits that a flood meets are the defaults; good clients are to meet none.
CONFIG = {"limits": {"principal": HIGH, "key": HIGH}, "anomaly": {"rate_spike": {"enabled": False}},
          "risk": {"step_up": 1.0, "deny": 1.0}, "log": {"level": "error"}}
BAD = "eyJhbGciOiJFZERTQSIsImtpZCI6Im5vbmUiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJhZWdpcyJ9." + "A" * 86


class Good(threading.Thread):
    """One client: a request every 1/EACH_PER_S, timed from when it was due."""

    def __init__(self, url, token, seconds, offset):
        super().__init__()
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10,
                                                     source_address=(GOOD_FROM, 0))
        self.token, self.seconds, self.offset, self.took, self.bad = token, seconds, offset, [], 0

    def run(self):
        body = json.dumps({"message_b64": "aGVsbG8="})
        headers = {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"}
        begin = time.monotonic() + self.offset
        for n in range(int(self.seconds * EACH_PER_S)):
            due = begin + n / EACH_PER_S
            time.sleep(max(0.0, due - time.monotonic()))
            self.connection.request("POST", "/v1/keys/flood/sign", body, headers)
            answer = self.connection.getresponse()
            answer.read()
            self.bad += answer.status != 200
            self.took.append((time.monotonic() - due) * 1e3)


def good(fleet, seconds):
    """(p50, p99) in ms of all good clients; an answer that is not a success ends the run."""
    clients = [Good(fleet.url, fleet.token(), seconds, i / EACH_PER_S / CLIENTS) for i in range(CLIENTS)]
    [c.start() for c in clients]
    [c.join() for c in clients]
    if any(c.bad for c in clients):
        sys.exit("flood: a good client was refused")
    took = sorted(t for c in clients for t in c.took)
    return took[len(took) // 2], took[len(took) * 99 // 100]


def flood(fleet, work, seconds):
    for name, text in (("token", BAD), ("body", "{}")):
        with open(os.path.join(work, name), "w") as out:
            out.write(text)
    return subprocess.Popen(["wrk", "-t1", "-c64", "-d%ds" % seconds, "--latency", "-s",
                             os.path.join(ROOT, "bench", "request.lua"), fleet.url, "--", "/v1/keys/flood/sign",
                             os.path.join(work, "token"), os.path.join(work, "body")],
                            stdout=subprocess.PIPE, text=True)


def rss_mb(fleet):
    pids = fleet.processes()
    total = 0
    for name in ("rest", "iam"):
        for line in open("/proc/%d/status" % pids[name]):
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ["AEGIS_BUILD"] = os.path.abspath(args.build)
    from conftest import Fleet
    Fleet.test_clock = False  # as whoever runs one has it
    fleet, work, rows = Fleet(config=CONFIG), tempfile.mkdtemp(prefix="aegis-flood-"), []
    try:
        fleet.start()
        fleet.key(fleet.admin(), "flood")
        good(fleet, 2)  # warm-up
        before = rss_mb(fleet)
        for _ in range(args.rounds):
            quiet = good(fleet, args.seconds)
            wrk = flood(fleet, work, args.seconds + 2)
            time.sleep(1)
            under = good(fleet, args.seconds)
            line = [r for r in wrk.communicate()[0].splitlines() if r.startswith("RESULT ")][0].split()
            rows.append(quiet + under + (float(line[1]) / (float(line[2]) / 1e6),))
        grown = rss_mb(fleet) - before
    finally:
        fleet.leave()
    p50, p99, flood_p50, flood_p99, rate = (statistics.median(c) for c in zip(*rows))
    print("good clients, %d requests/s: p50 %.2f ms, p99 %.2f ms" % (CLIENTS * EACH_PER_S, p50, p99))
    print("under %.0f bad requests/s:   p50 %.2f ms, p99 %.2f ms (%.1f times)" % (rate, flood_p50, flood_p99,
                                                                                 flood_p99 / p99))
    print("memory of the plane and iam: %+.1f MB after %d floods" % (grown, args.rounds))


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does it stay as it is? A mixed load at a steady rate for many minutes; memory and descriptors of every process and
the latency of requests are looked at every few seconds, and the end is compared with the beginning.

  bench/soak.py [BUILD] [--minutes N] [--rate N] [--slice SECONDS] [--policies N]

--policies: decisions only (uses of a key, and questions whether they would be allowed), with so many policies in force,
ten for each of many people.

The first fifth is warm-up: caches and tables fill. What is compared are the medians of the next fifth and the last.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
CONNECTIONS = 64
# The log is cut, so that half an hour fits on a disk: cutting is a part of what must stay even.
CONFIG = {"limits": dict([(k, {"rate": 100000000, "window_s": 60}) for k in ("address", "principal", "key")],
                         ended_kept_s=60),
          "risk": {"step_up": 1.0, "deny": 1.0}, "anomaly": {"rate_spike": {"enabled": False}},
          "audit": {"max_bytes": "1G"}, "log": {"level": "warn"}}
# What may differ at the end: noise, not growth.
MEMORY_SHARE, MEMORY_KB, DESCRIPTORS, P99_TIMES, P99_MS, RATE_SHARE, BAD_SHARE = 0.10, 4096, 4, 2.0, 5.0, 0.9, 0.001


def rss_kb(pid):
    """Its own memory; mapped files (the log's segments, LMDB) come and go with what is read."""
    for line in open("/proc/%d/status" % pid):
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


class Soak:
    def __init__(self, args):
        from conftest import Fleet, b64
        self.args, self.fleet, self.b64 = args, Fleet(config=CONFIG), b64
        self.work = tempfile.mkdtemp(prefix="aegis-soak-")
        self.slices, self.pids = [], {}

    def put(self, name, text):
        path = os.path.join(self.work, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        return path

    def mix(self):
        admin = self.fleet.admin()
        self.fleet.key(admin, "soak-sign")
        self.fleet.key(admin, "soak-aes", "AES_256")
        rows = [(60, "POST", "/v1/keys/soak-sign/sign", {"message_b64": self.b64(b"x" * 64)}),
                (20, "POST", "/v1/keys/soak-aes/encrypt", {"plaintext_b64": self.b64(b"x" * 256)}),
                (10, "GET", "/v1/keys/soak-sign", None), (5, "GET", "/v1/whoami", None),
                (4, "GET", "/v1/audit?limit=5", None),
                (1, "POST", "/v1/agents/issue", {"label": "soak", "scopes": ["key:soak-sign:sign"], "ttl_s": 60})]
        return self.put("mix", "".join("%d\t%s\t%s\t%s\n" % (weight, method, path, json.dumps(body) if body else "")
                                       for weight, method, path, body in rows))

    def policies(self, count):
        admin, people = self.fleet.admin(), ["admin"] + ["person-%d" % i for i in range(1, count // 10)]
        self.fleet.key(admin, "soak-sign", labels={"team": "7"})
        admin.ok("PUT", "/v1/policies/soak", {"text": "".join(
            "permit (principal in Aegis::Human::\"%s\", action in Aegis::Action::\"use\", resource is Aegis::Key) "
            "when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"%d\" };\n" % (name, team)
            for name in people for team in range(10))})
        rows = [(70, "POST", "/v1/keys/soak-sign/sign", {"message_b64": self.b64(b"x" * 64)}),
                (30, "POST", "/v1/authz/check", {"action": "key.sign", "resource": "soak-sign"})]
        return self.put("mix", "".join("%d\t%s\t%s\t%s\n" % (w, m, path, json.dumps(body)) for w, m, path, body in rows))

    def load(self, mix, token, delay_ms):
        done = subprocess.run(["wrk", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % self.args.slice, "--latency", "-s",
                               os.path.join(ROOT, "bench", "mixed.lua"), self.fleet.url, "--", mix, token, "%g" % delay_ms],
                              capture_output=True, text=True)
        line = [r for r in done.stdout.splitlines() if r.startswith("RESULT ")]
        if not line:
            sys.exit("soak: wrk failed: %s%s" % (done.stdout, done.stderr))
        n, us, p50, p99, bad, broken = (int(float(w)) for w in line[0].split()[1:])
        return {"rate": n / (us / 1e6), "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3, "bad": bad + broken, "n": n}

    def look(self, row):
        row["rss_kb"] = dict((name, rss_kb(pid)) for name, pid in self.pids.items())
        row["descriptors"] = dict((name, len(os.listdir("/proc/%d/fd" % pid))) for name, pid in self.pids.items())

    def one(self, mix, token, delay_ms):
        row = self.load(mix, token, delay_ms)
        self.look(row)
        self.slices.append(row)
        print("%6.1f min %8.0f 1/s  p50 %7.2f ms  p99 %7.2f ms  %d bad  memory %7.1f MB  descriptors %d" % (
            (time.monotonic() - self.begin) / 60, row["rate"], row["p50_ms"], row["p99_ms"], row["bad"],
            sum(row["rss_kb"].values()) / 1024, sum(row["descriptors"].values())), flush=True)
        # wrk waits between requests and does not pace: the wait is what gives the rate.
        return max(0.0, delay_ms + CONNECTIONS * 1000 * (1 / self.args.rate - 1 / max(row["rate"], 1)))

    def run(self):
        try:
            self.fleet.start()
            self.pids = dict((name, pid) for name, pid in self.fleet.processes().items() if pid)
            mix = self.policies(self.args.policies) if self.args.policies else self.mix()
            token = self.put("token", self.fleet.token())
            delay_ms = CONNECTIONS * 1000 / self.args.rate
            self.begin = time.monotonic()
            while time.monotonic() < self.begin + self.args.minutes * 60:
                delay_ms = self.one(mix, token, delay_ms)
            died = [name for name, pid in self.fleet.processes().items() if self.pids.get(name, pid) != pid]
            wrong = ["%s was restarted" % name for name in died] + judge(self.slices, self.args.rate)
        finally:
            self.fleet.leave()
        for line in wrong:
            print("soak: " + line)
        print("soak: %d requests in %g min, %s" % (sum(r["n"] for r in self.slices), self.args.minutes,
                                                   "not even" if wrong else "even to its end"))
        with open(os.path.join(self.args.build, "soak.json"), "w") as out:
            json.dump(self.slices, out, indent=1)
        return 1 if wrong else 0


def judge(slices, rate):
    """What is different at the end; an empty list: nothing that counts."""
    fifth = len(slices) // 5
    if fifth < 1:
        return ["too short to compare: %d slices" % len(slices)]
    first, last, wrong = slices[fifth:2 * fifth], slices[-fifth:], []

    def medians(pick):
        return statistics.median(map(pick, first)), statistics.median(map(pick, last))
    for name in slices[0]["rss_kb"]:
        was, now = medians(lambda row: row["rss_kb"][name])
        if now > was * (1 + MEMORY_SHARE) + MEMORY_KB:
            wrong.append("%s grew from %d to %d kB" % (name, was, now))
        was, now = medians(lambda row: row["descriptors"][name])
        if now > was + DESCRIPTORS:
            wrong.append("%s has %d descriptors, had %d" % (name, now, was))
    was, now = medians(lambda row: row["p99_ms"])
    if now > was * P99_TIMES + P99_MS:
        wrong.append("p99 went from %.2f to %.2f ms" % (was, now))
    got = statistics.median(row["rate"] for row in slices[fifth:])
    if got < rate * RATE_SHARE:
        wrong.append("%.0f requests/s, not %d" % (got, rate))
    bad, n = sum(row["bad"] for row in slices), sum(row["n"] for row in slices)
    if bad > n * BAD_SHARE:
        wrong.append("%d of %d answers were errors" % (bad, n))
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--slice", type=int, default=10)
    parser.add_argument("--policies", type=int, default=0)
    args = parser.parse_args()
    os.environ["AEGIS_BUILD"] = os.path.abspath(args.build)
    sys.exit(Soak(args).run())


if __name__ == "__main__":
    main()

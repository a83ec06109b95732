#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the performance claims are measured with: a fresh fleet, audit durable,
all checks on, the load generator on the same machine, warm-up first. Prints a
table and writes build/bench.json.

  bench/run.py [BUILD] [--seconds N] [--rounds N] [--only NAME] [--many]

A round of N seconds is repeated and its median taken: idle machines stall now
and then, and one bad second is not the program's.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
AIMS = {"sign_p256_c64": "≥ 20000", "sign_100k_keys": "≥ 90 % of 10 keys", "encrypt_aes256gcm_256b_c64": "≥ 25000", "idle_request": "≤ 0.8 p50",
        "revocation_in_force": "≤ 5 p99", "two_nodes_bound": "≤ 100 p99", "revoke_10k_agents": "≤ 2000", "mcp_sign_p256_c16": "≥ 15000", "mcp_idle_call": "≤ 0.7 p50",
        "fleet_memory_pss": "≤ 80", "create_activate_lmdb": "≥ 1000", "create_activate_postgres": "≥ 1000", "cold_start_replay_1m": "≤ 20",
        "cold_start_snapshot_1m": "≤ 2", "token_check_cached": "≤ 2", "rate_check": "≤ 5",
        "risk_anomaly_event": "≤ 2", "kafka_sink_json": "≥ 50000", "cedar_decide": "≤ 2", "policy_decide": "≤ 3", "policy_decide_p99": "≤ 50",
        "policies_500_at_1000": "≤ 10 p99", "kafka_sink_protobuf": "≥ 50000", "audit_durable": "≥ 100000", "event_json": "≤ 5"}
CONFIG = {"limits": dict((k, {"rate": 100000000, "window_s": 60}) for k in ("address", "principal", "key")),
          "risk": {"step_up": 1.0, "deny": 1.0},
          "anomaly": {"rate_spike": {"enabled": False}}, "log": {"level": "warn"}}
MANY_KEYS = dict(CONFIG, limits=dict(CONFIG["limits"], tenant={"keys": 524288}))


class Stalls:
    """How often this machine itself stood still meanwhile."""

    def __enter__(self):
        self.worst, self.stop = 0.0, False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.stop:
            begin = time.monotonic()
            time.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - begin - 0.005)

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()


class Bench:
    def __init__(self, args):
        from conftest import Fleet, b64
        self.args, self.rows, self.b64 = args, [], b64
        Fleet.test_clock = False  # as whoever runs one has it
        self.fleet = Fleet(config=CONFIG)
        # A fleet of its own: another plane would share the credit of the first.
        self.agents = Fleet(config=dict(CONFIG, mcp={"listen": "127.0.0.1:0"}))
        self.work = tempfile.mkdtemp(prefix="aegis-bench-")
        self.machine = "%d cores, %s, Linux %s" % (os.cpu_count(), cpu_model(), platform.release())

    def add(self, name, unit, value, p50=None, p99=None, conditions=""):
        row = {"name": name, "unit": unit, "value": value, "p50_ms": p50, "p99_ms": p99,
               "conditions": (conditions + "; " if conditions else "") + self.machine}
        self.rows.append(row)
        print("%-28s %12.6g %-6s %8s %8s   %s" % (
            name, value, unit, "-" if p50 is None else "%.3f" % p50, "-" if p99 is None else "%.3f" % p99,
            AIMS.get(name, "")), flush=True)

    def put(self, name, text):
        path = os.path.join(self.work, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        return path

    def wrk(self, path, body, seconds, connections=64, fleet=None, url=None, fields=()):
        fleet = fleet or self.fleet
        token, file = self.put("token", fleet.token()), self.put("body", json.dumps(body))
        return self.wrk_script("request.lua", url or fleet.url, seconds, connections, [path, token, file, *fields], path)

    def wrk_script(self, script, url, seconds, connections, words, what):
        done = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", "-s",
                               os.path.join(ROOT, "bench", script), url, "--", *words], capture_output=True, text=True)
        line = [r for r in done.stdout.splitlines() if r.startswith("RESULT ")]
        if not line:
            sys.exit("bench: wrk failed: %s%s" % (done.stdout, done.stderr))
        n, us, p50, p99, bad, broken = (int(float(w)) for w in line[0].split()[1:])
        if bad or broken:
            sys.exit("bench: %d answers were errors, %d connections failed, at %s" % (bad, broken, what))
        return n / (us / 1e6), p50 / 1e3, p99 / 1e3

    def load(self, name, path, body, conditions, times=1, connections=64, **more):
        self.wrk(path, body, 2, connections, **more)  # warm-up
        found, worst = [], 0.0
        for _ in range(self.args.rounds):
            with Stalls() as stalls:
                found.append(self.wrk(path, body, self.args.seconds, connections, **more))
            worst = max(worst, stalls.worst)
        rate, p50, p99 = (statistics.median(column) for column in zip(*found))
        self.add(name, "1/s", rate * times, p50, p99, "wrk -t1 -c%d, median of %d × %d s, audit fdatasync, worst "
                 "stall of the machine %.0f ms; %s" % (connections, self.args.rounds, self.args.seconds, worst * 1e3, conditions))

    # ------------------------------------------------------------- the rows

    def sign_p256_c64(self):
        self.fleet.key(self.admin, "bench-sign")
        self.load("sign_p256_c64", "/v1/keys/bench-sign/sign", {"message_b64": self.b64(b"x" * 64)},
                  "EC_P256, 64 bytes, one signature a request")

    def encrypt_aes256gcm_256b_c64(self):
        self.fleet.key(self.admin, "bench-aes", "AES_256")
        self.load("encrypt_aes256gcm_256b_c64", "/v1/keys/bench-aes/encrypt", {"plaintext_b64": self.b64(b"x" * 256)},
                  "AES_256, 256 bytes")

    def batch100_aes256gcm(self):
        self.fleet.key(self.admin, "bench-batch", "AES_256")
        body = {"operation": "encrypt", "items": [{"plaintext_b64": self.b64(b"x" * 256)}] * 100}
        self.load("batch100_aes256gcm", "/v1/keys/bench-batch/batch", body, "100 × 256 bytes a request", times=100)

    def idle(self, name, path, body, conditions, **more):
        self.wrk(path, body, 2, connections=1, **more)  # warm-up
        rounds = [self.wrk(path, body, self.args.seconds, connections=1, **more) for _ in range(self.args.rounds)]
        _, p50, p99 = (statistics.median(column) for column in zip(*rounds))
        self.add(name, "ms", p50, p50, p99, "wrk -t1 -c1, %s, median of %d × %d s"
                 % (conditions, self.args.rounds, self.args.seconds))

    def idle_request(self):
        self.fleet.key(self.admin, "bench-idle")
        self.idle("idle_request", "/v1/keys/bench-idle/sign", {"message_b64": self.b64(b"x" * 64)}, "P-256 sign")

    def mcp_call(self, key):
        """tools/call of sign in 2026-07-28: the body, and where and with which fields it goes."""
        if self.agents.process is None:
            self.agents.start()
        self.agents.key(self.agents.admin(), key)
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "sign", "arguments": {"key": key, "message_b64": self.b64(b"x" * 64)}, "_meta": meta}}
        fields = ["MCP-Protocol-Version=2026-07-28", "Mcp-Method=tools/call", "Mcp-Name=sign"]
        # A tool says no in a result, which HTTP calls a success.
        client = self.agents.client(self.agents.token())
        client.connection.port = int(self.agents.endpoints["mcp"].rsplit(":", 1)[1])
        got = client.ok("POST", "/mcp", body, headers=dict(f.split("=") for f in fields))
        if got["result"]["isError"]:
            sys.exit("bench: the tool refuses: %r" % got)
        return body, {"fleet": self.agents, "url": self.agents.endpoints["mcp"], "fields": fields}

    def mcp_sign_p256_c16(self):
        body, more = self.mcp_call("bench-mcp")
        self.load("mcp_sign_p256_c16", "/mcp", body, "MCP tools/call sign, EC_P256, 64 bytes", connections=16, **more)

    def mcp_idle_call(self):
        body, more = self.mcp_call("bench-mcp-idle")
        self.idle("mcp_idle_call", "/mcp", body, "MCP tools/call sign", **more)

    def revocation_in_force(self):
        """From the 200 of the revocation to the answer of the first request that is refused."""
        self.fleet.key(self.admin, "bench-revoke")
        took = []
        for n in range(200):
            agent = self.fleet.agent(self.admin, ["key:bench-revoke:sign"], label="bench")
            body = {"message_b64": "bQ=="}
            agent.ok("POST", "/v1/keys/bench-revoke/sign", body)
            self.admin.ok("POST", "/v1/agents/%s/revoke" % agent.id, {"reason": "bench"})
            begin = time.perf_counter()
            while agent.post("/v1/keys/bench-revoke/sign", body).status != 401:
                pass
            took.append((time.perf_counter() - begin) * 1e3)
            agent.close()
        took.sort()
        self.add("revocation_in_force", "ms", took[len(took) * 99 // 100], took[len(took) // 2],
                 took[len(took) * 99 // 100], "200 agents, from the 200 of the revocation to the first 401, Python's "
                 "http.client included; value is the p99")

    def two_nodes_bound(self):
        """What one node revokes, compromises, destroys or rules, on the other one."""
        from nodes import measure
        found = measure(CONFIG, 50)
        took = sorted(t for times in found.values() for t in times)
        p99 = took[len(took) * 99 // 100]
        self.add("two_nodes_bound", "ms", p99, took[len(took) // 2], p99, "two nodes, one PostgreSQL, 50 of each, p99 of %s; "
                 "value is the p99 of all" % ", ".join("%s %.1f" % (name, t[len(t) * 99 // 100]) for name, t in found.items()))

    def revoke_10k_agents(self):
        """One call that revokes all of somebody's agents, after a preview that must count the same."""
        boss = self.fleet.person("bench-boss")
        self.fleet.key(boss, "bench-many")
        ask = {"label": "many", "scopes": ["key:bench-many:sign"]}

        def issue(n):
            client = self.fleet.client(boss.token)
            for _ in range(n):
                client.ok("POST", "/v1/agents/issue", ask)
        threads = [threading.Thread(target=issue, args=(1250,)) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        agents = boss.ok("GET", "/v1/agents?limit=1&parent=bench-boss")["items"]
        many, took = {"parent": "bench-boss", "reason": "bench"}, []
        for dry_run in (True, False):
            begin = time.perf_counter()
            got = self.admin.ok("POST", "/v1/agents/revoke", dict(many, dry_run=dry_run))
            took.append((time.perf_counter() - begin) * 1e3)
            if got["matched"] != 10000 or (not dry_run and got["revoked"] != 10000):
                sys.exit("bench: %r" % got)
        if boss.ok("GET", "/v1/agents/" + agents[0]["id"])["state"] != "revoked":
            sys.exit("bench: an agent is still there")
        self.add("revoke_10k_agents", "ms", took[1], conditions="10,000 agents in one call; its preview %.0f ms" % took[0])

    def sign_100k_keys(self):
        """10,000 agents sign with a hot set of 1,000 among 100,000 keys, and before with 10 where there are no others."""
        from conftest import Fleet
        fleet = Fleet(config=MANY_KEYS)
        body = self.put("many-body", json.dumps({"message_b64": self.b64(b"x" * 64)}))

        def hot(client, n):
            return [fleet.key(client, labels={"set": "hot"})["id"] for _ in range(n)]

        def rate(keys, tokens):
            words = [self.put("many-paths", "".join("/v1/keys/%s/sign\n" % key for key in keys)),
                     self.put("many-tokens", "".join(token + "\n" for token in tokens)), body]
            go = lambda seconds: self.wrk_script("many.lua", fleet.url, seconds, 64, words, "many keys")
            go(2 + len(tokens) // 1000)  # warm-up: every token and every key was there once
            return [statistics.median(column) for column in zip(*[go(self.args.seconds) for _ in range(self.args.rounds)])]
        try:
            admin = fleet.start().admin()
            tokens, few = [], hot(admin, 10)

            def issue(n):
                client = fleet.client(admin.token)
                for _ in range(n):
                    tokens.append(fleet.agent(client, ["key:label=set=hot:sign"], ttl_s=86400).token)
            threads = [threading.Thread(target=issue, args=(1250,)) for _ in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            before = rate(few, tokens)
            made, many = len(few), hot(admin, 1000)
            while made + len(many) < 100000:
                made += int(5 * self.wrk("/v1/keys", {"key_spec": "EC_P256", "activate": True}, 5, fleet=fleet)[0])
            value, p50, p99 = rate(many, tokens)
        finally:
            fleet.leave()
        self.add("sign_100k_keys", "1/s", value, p50, p99, "%d keys, 1,000 of them hot, %d agents at random; %.1f %% of the "
                 "%.0f/s of the same agents with 10 keys and no others" % (made + len(many), len(tokens), 100 * value / before[0],
                                                                         before[0]))

    def fleet_memory_pss(self):
        total = 0
        pids = [p for p in self.fleet.processes().values() if p] + [self.fleet.process.pid]
        for pid in set(pids):
            for line in open("/proc/%d/smaps_rollup" % pid):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        self.add("fleet_memory_pss", "MB", total / 1024, conditions="%d processes, after the load above"
                 % len(set(pids)))

    def kafka_sink(self):
        """A log that is there already, sent from its beginning: what the sink does when it catches up."""
        events = int(self.admin.ok("GET", "/v1/sinks")["head"])
        if events < 100000:
            self.fleet.key(self.admin, "bench-kafka")
            self.wrk("/v1/keys/bench-kafka/sign", {"message_b64": "bQ=="}, 10)
        for form in ("json", "protobuf"):
            topic = "bench-" + form
            mock = subprocess.Popen([os.path.join(self.args.build, "tests", "peers", "kafka-mock"), "4", topic],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            brokers = mock.stdout.readline().strip()
            self.fleet.stop()
            self.fleet.configure(dict(CONFIG, sinks=[{"name": form, "kind": "kafka", "brokers": brokers.split(","),
                                                      "topic": topic, "format": form}]))
            self.fleet.start()
            self.admin = self.fleet.admin()
            begin = first = None
            while True:
                sink = self.admin.ok("GET", "/v1/sinks/" + form)
                if begin is None and sink["sent"] > 0:
                    begin, first = time.monotonic(), sink["sent"]
                if sink["sent"] > 0 and sink["lag_events"] < 10:
                    break
                time.sleep(0.02)
            rate = (sink["sent"] - first) / (time.monotonic() - begin)
            self.add("kafka_sink_" + form, "1/s", rate, conditions="%d events caught up with, one topic of 4 "
                     "partitions, acks=all, lz4; librdkafka's mock cluster on the same machine" % sink["sent"])
            mock.stdin.close()
            mock.wait(10)

    def creating(self, name, fleet, conditions):
        """A new key a request, which is Active in the answer."""
        try:
            fleet.start()
            self.load(name, "/v1/keys", {"key_spec": "AES_256", "activate": True}, conditions, fleet=fleet)
        finally:
            fleet.leave()

    def create_activate_lmdb(self):
        from conftest import Fleet
        self.creating("create_activate_lmdb", Fleet(config=MANY_KEYS), "AES_256, a key made and activated a request")

    def on_postgres(self, use):
        """use(fleet), of a fleet whose journal is there."""
        from conftest import Fleet
        from servers import Postgres
        database = Postgres("a password of the bench")
        try:
            journal = {"kind": "postgres", "postgres": {"url": database.start().url, "timeout_ms": 10000,
                                                        "password_file": self.put("password", database.password)}}
            use(Fleet(config=dict(MANY_KEYS, journal=journal)))
        finally:
            database.leave()

    def create_activate_postgres(self):
        self.on_postgres(lambda fleet: self.creating(
            "create_activate_postgres", fleet,
            "AES_256, a key made and activated a request; Debian's PostgreSQL on the same machine, fsync on"))

    def sign_p256_c64_postgres(self):
        """To be compared with sign_p256_c64 of the same minutes: a signature does not touch the journal."""
        def use(fleet):
            try:
                fleet.start()
                fleet.key(fleet.admin(), "bench-sign")
                self.load("sign_p256_c64_postgres", "/v1/keys/bench-sign/sign", {"message_b64": self.b64(b"x" * 64)},
                          "EC_P256, 64 bytes, one signature a request; the journal in PostgreSQL on the same machine", fleet=fleet)
            finally:
                fleet.leave()
        self.on_postgres(use)

    def policies_500_at_1000(self):
        """A thousand signatures a second, each decided by a set of 500 policies: how long one takes."""
        from conftest import Fleet
        fleet = Fleet(config=CONFIG)
        lines = ["permit (principal in Aegis::Role::\"admin\", action, resource);"]
        lines += ["permit (principal in Aegis::Human::\"%d\", action in Aegis::Action::\"use\", resource is Aegis::Key) "
                  "when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"%d\" };" % (i // 10, i % 10)
                  for i in range(499)]
        try:
            fleet.start()
            admin = fleet.admin()
            fleet.key(admin, "bench-policies")
            made = admin.ok("PUT", "/v1/policies/bench", {"text": "\n".join(lines)})
            if made["policies"] != 500:
                sys.exit("bench: %d policies" % made["policies"])
            mix = self.put("mix", "1\tPOST\t/v1/keys/bench-policies/sign\t%s\n" %
                           json.dumps({"message_b64": self.b64(b"x" * 64)}))
            token, found = self.put("token", fleet.token()), []
            for seconds in [2] + [self.args.seconds] * self.args.rounds:
                done = subprocess.run(["wrk", "-t1", "-c64", "-d%ds" % seconds, "--latency", "-s",
                                       os.path.join(ROOT, "bench", "mixed.lua"), fleet.url, "--", mix, token, "62"],
                                      capture_output=True, text=True)
                line = [r for r in done.stdout.splitlines() if r.startswith("RESULT ")]
                if not line:
                    sys.exit("bench: wrk failed: %s%s" % (done.stdout, done.stderr))
                n, us, p50, p99, bad, broken = (int(float(w)) for w in line[0].split()[1:])
                if bad or broken:
                    sys.exit("bench: %d answers were errors, %d connections failed" % (bad, broken))
                found.append((n / (us / 1e6), p50 / 1e3, p99 / 1e3))
        finally:
            fleet.leave()
        rate, p50, p99 = (statistics.median(column) for column in zip(*found[1:]))
        self.add("policies_500_at_1000", "1/s", rate, p50, p99, "wrk -t1 -c64 at a steady rate, EC_P256 sign, 500 policies in "
                 "force, median of %d × %d s" % (self.args.rounds, self.args.seconds))

    def cold_start(self):
        """From aegis up to its ready line, with a journal of a million records."""
        from conftest import Fleet
        fleet = Fleet(config=MANY_KEYS)
        try:
            fleet.start()
            fleet.key(fleet.admin(), "like", "AES_256")
            fleet.stop()
            begin = time.monotonic()
            subprocess.run([os.path.join(self.args.build, "bench", "journal_fill"), os.path.join(fleet.state, "journal"),
                            "1000000"], check=True, stdout=subprocess.DEVNULL)
            made = time.monotonic() - begin
            shutil.rmtree(os.path.join(fleet.state, "snapshots"))
            for name, how in (("cold_start_replay_1m", "without snapshots"), ("cold_start_snapshot_1m", "with snapshots")):
                begin = time.monotonic()
                fleet.start(300)
                self.add(name, "s", time.monotonic() - begin, conditions="1,000,000 records of 100,000 keys, written in %.0f s; "
                         "from aegis up to ready, %s" % (made, how))
                fleet.admin().ok("GET", "/v1/keys/like")
                fleet.stop(120)
        finally:
            fleet.leave()

    def micro(self, name, word=None):
        """A C program that prints one number: microseconds a turn."""
        program = [os.path.join(self.args.build, "bench", name)] + ([word] if word else [])
        if not os.path.exists(program[0]):
            return
        found = [float(subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()[-1])
                 for _ in range(self.args.rounds)]
        self.add(name + ("_" + word if word else ""), "us", statistics.median(found), conditions="median of %d runs" % self.args.rounds)

    def audit_durable(self):
        """Audit alone, fed as fast as it takes outcomes; a new log each time, where the build is: /tmp may be no disk."""
        found = []
        for _ in range(self.args.rounds):
            with tempfile.TemporaryDirectory(dir=self.args.build) as folder:
                found.append(float(subprocess.run([os.path.join(self.args.build, "bench", "audit_durable"), folder],
                                                  capture_output=True, text=True, check=True).stdout))
        self.add("audit_durable", "1/s", statistics.median(found), conditions="outcomes of signatures, from audit's line to "
                 "what it delivers after the log was written through; turns of 256, one thread, median of %d × 196,608"
                 % self.args.rounds)

    def run(self):
        names = ["sign_p256_c64", "encrypt_aes256gcm_256b_c64", "batch100_aes256gcm", "idle_request",
                 "mcp_sign_p256_c16", "mcp_idle_call", "revocation_in_force", "two_nodes_bound", "fleet_memory_pss", "revoke_10k_agents",
                 "create_activate_lmdb", "create_activate_postgres", "sign_p256_c64_postgres", "cold_start",
                 "kafka_sink", "policies_500_at_1000"]
        print("%-28s %12s %-6s %8s %8s   %s" % ("NAME", "VALUE", "UNIT", "P50 ms", "P99 ms", "AIM"))
        try:
            self.fleet.start()
            self.admin = self.fleet.admin()
            for name in names:
                if self.args.only in (None, name):
                    getattr(self, name)()
            if self.args.many or self.args.only == "sign_100k_keys":
                self.sign_100k_keys()
        finally:
            self.fleet.leave()
            self.agents.leave()
        for name in ("token_check_cached", "rate_check", "risk_anomaly_event", "event_json", "cedar_decide", "policy_decide"):
            if self.args.only in (None, name):
                self.micro(name)
        if self.args.only in (None, "policy_decide"):
            self.micro("policy_decide", "p99")
        if self.args.only in (None, "audit_durable"):
            self.audit_durable()
        path = os.path.join(self.args.build, "bench.json")
        with open(path, "w") as out:
            json.dump(self.rows, out, indent=1, ensure_ascii=False)
        print("written: " + os.path.relpath(path))


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    parser.add_argument("--many", action="store_true", help="sign_100k_keys, too: some minutes more")
    args = parser.parse_args()
    os.environ["AEGIS_BUILD"] = os.path.abspath(args.build)
    Bench(args).run()


if __name__ == "__main__":
    main()

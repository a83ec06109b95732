# SPDX-License-Identifier: Apache-2.0
"""The journal in PostgreSQL: one node, one that loses it, and two that share it."""
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from chaos import seed_of
from conftest import AEGIS, CONFIG, wait_for
from servers import Postgres

PASSWORD = "a password of the journal"


@pytest.fixture(scope="module")
def postgres():
    made = Postgres(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


@pytest.fixture
def shared(fresh_fleet, postgres, tmp_path):
    """make() starts one more node on an empty database."""
    postgres.run("DROP SCHEMA IF EXISTS aegis_journal CASCADE")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    settings = {"url": postgres.url, "password_file": str(secret)}

    def make(**more):
        return fresh_fleet(dict(CONFIG, keys={"destroy_min_window_s": 0}, journal={"kind": "postgres", "postgres": dict(settings, **more)}))
    return make


def sign(who, key):
    return who.post("/v1/keys/%s/sign" % key, {"message_b64": "aGk="})


def of_journal(fleet):
    return fleet.processes()["journal"]


def test_the_ring_runs_on_it(shared, postgres):
    fleet = shared()
    admin = fleet.admin()
    key = fleet.key(admin, "k", activate=False)
    admin.ok("POST", "/v1/keys/k/activate", {})
    agent = fleet.agent(admin, ["key:k:sign"])
    assert sign(agent, "k").status == 200
    assert admin.ok("POST", "/v1/keys/k/rotate", {})["version"] == 2
    repeat = {"Idempotency-Key": "once"}
    first = admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "twice"}, headers=repeat)
    again = admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "twice"}, headers=repeat)
    assert first.status == again.status and first.json["id"] == again.json["id"]
    admin.ok("POST", "/v1/agents/%s/revoke" % agent.id, {"reason": "test"})
    assert sign(agent, "k").status == 401
    assert admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "k"}).status == 409
    rows = postgres.rows("SELECT seq FROM aegis_journal.event ORDER BY seq")
    assert [int(seq) for (seq,) in rows] == list(range(1, len(rows) + 1))
    assert PASSWORD not in open(fleet.log, errors="replace").read()
    pid = of_journal(fleet)
    for name in ("cmdline", "environ"):
        assert PASSWORD.encode() not in open("/proc/%d/%s" % (pid, name), "rb").read()
    # A copy that was lost is filled again; nothing else knows the difference.
    fleet.stop()
    for name in ("data.mdb", "lock.mdb"):
        os.unlink(os.path.join(fleet.state, "journal", name))
    fleet.start()
    admin = fleet.admin()
    assert admin.ok("GET", "/v1/keys/k")["id"] == key["id"]
    assert sign(admin, "k").status == 200
    assert sign(fleet.client(agent.token), "k").status == 401


def test_a_state_directory_with_a_journal_of_its_own_is_refused(fresh_fleet, postgres, shared):
    fleet = fresh_fleet(CONFIG)
    fleet.stop()
    node = shared()
    fleet.config_file, own = node.config_file, fleet.config_file
    with pytest.raises(AssertionError):
        fleet.start(15)
    assert "has a journal of its own" in open(fleet.log, errors="replace").read()
    fleet.kill()
    fleet.config_file = own
    fleet.start()
    # And the other way round: a copy is no journal.
    node.stop()
    node.configure(CONFIG)
    with pytest.raises(AssertionError):
        node.start(15)
    assert "has a copy of the journal" in open(node.log, errors="replace").read()


class Writers:
    """Keys made and changed from several connections, whatever happens meanwhile."""

    def __init__(self, fleet, count=4, first=0):
        self.acknowledged, self.refused, self.unknown, self.statuses, self.stop = {}, {}, set(), set(), False
        self.threads = [threading.Thread(target=self.write, args=(fleet, first + i)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, fleet, number):
        who, n = fleet.admin(), 0
        while not self.stop:
            name = "w%d-%d" % (number, n)
            n += 1
            try:
                got = who.post("/v1/keys", {"key_spec": "AES_256", "alias": name, "activate": True})
            except Exception:
                self.unknown.add(name)
                continue
            self.statuses.add(got.status)
            if got.status in (200, 201):
                self.acknowledged[name] = got.json["id"]
            elif got.status == 503 and got.reason != "audit":  # else it may have been done
                self.refused[name] = got.json
            else:
                self.unknown.add(name)

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()


def same_everywhere(fleet, postgres, writers):
    """Acknowledged is there; refused with 503 is not; the database and this node agree."""
    admin = fleet.admin()
    have = dict((key["alias"], key["id"]) for key in admin.items("/v1/keys?limit=1000") if key["alias"])
    for name, id in writers.acknowledged.items():
        assert have.get(name) == id, name
    extra = set(have) - set(writers.acknowledged) - writers.unknown
    assert not extra, [writers.refused.get(name) for name in extra]
    streams = set(name for (name,) in postgres.rows("SELECT name FROM aegis_journal.stream WHERE name LIKE 'key:%'"))
    assert streams == set("key:" + id for id in have.values())
    gap = postgres.rows("SELECT count(*), min(seq), max(seq) FROM aegis_journal.event")
    assert gap[0][0] == gap[0][2] and gap[0][1] == "1"


def test_the_journal_is_killed_under_writes(shared, postgres):
    fleet = shared()
    writers = Writers(fleet)
    for _ in range(3):
        wait_for(lambda n=len(writers.acknowledged): len(writers.acknowledged) > n + 20, 60, what="keys")
        pid = of_journal(fleet)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: of_journal(fleet) not in (0, pid), 30, what="another journal")
    wait_for(lambda n=len(writers.acknowledged): len(writers.acknowledged) > n + 20, 60, what="keys again")
    writers.end()
    same_everywhere(fleet, postgres, writers)
    # One event for each change that the journal has, also for those whose answer was lost.
    wanted = set(fleet.admin().ok("GET", "/v1/keys/" + name)["id"] for name in writers.acknowledged)
    made = [e["resource"]["id"] for e in fleet.all_events(60) if e["operation"] == "key.create" and e["outcome"] == "allowed"
            and e["event_type"] == "request"]
    assert wanted <= set(made) and len(made) == len(set(made))


def test_the_database_is_away_and_comes_back(shared, postgres):
    fleet = shared()
    admin = fleet.admin()
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign", "key:k:verify"])
    made = sign(agent, "k").json
    writers = Writers(fleet)
    wait_for(lambda: len(writers.acknowledged) > 20, 60, what="keys")
    postgres.kill()
    try:
        wait_for(lambda: 503 in writers.statuses, 20, what="a refusal")
        begun = time.monotonic()
        got = admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "not-now"})
        assert (got.status, got.reason) == (503, "journal") and int(got.headers["retry-after"]) > 0
        assert time.monotonic() - begun < 5
        assert sign(agent, "k").status == 200
        assert agent.post("/v1/keys/k/verify", {"message_b64": "aGk=", "signature_b64": made["signature_b64"]}).json["valid"]
        health = admin.get("/healthz/ready").json
        assert health["status"] == "degraded", health
    finally:
        postgres.start()
    wait_for(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "now-again"}).status in (200, 201), 60,
             what="changes again")
    wait_for(lambda n=len(writers.acknowledged): len(writers.acknowledged) > n + 20, 60, what="keys again")
    writers.end()
    assert admin.get("/v1/keys/not-now").status == 404
    writers.acknowledged.update((key, admin.ok("GET", "/v1/keys/" + key)["id"]) for key in ("k", "now-again"))
    same_everywhere(fleet, postgres, writers)


def test_a_server_that_does_not_answer(shared, postgres):
    """Stopped, not ended: connections stand and nothing comes back."""
    fleet = shared()
    admin = fleet.admin()
    fleet.key(admin, "k")
    assert sign(admin, "k").status == 200  # it is loaded, and its uses are set aside
    stopped = postgres.processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        statuses = []

        def refused():
            begun = time.monotonic()
            got = admin.post("/v1/keys", {"key_spec": "EC_P256"})
            statuses.append(got.status)
            assert time.monotonic() - begun < 8
            return got.status == 503
        wait_for(refused, 30, what="503")
        assert set(statuses) <= {503, 504}
        # A shard whose change is in doubt asks the journal's copy, and goes on.
        wait_for(lambda: sign(admin, "k").status == 200, 10, what="a signature")
        assert [sign(admin, "k").status for _ in range(20)] == [200] * 20
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256"}).status in (200, 201), 60, what="changes again")


def test_keys_are_used_for_as_long_as_the_lease(shared, postgres):
    fleet = shared(lease_s=2)
    admin = fleet.admin()
    fleet.key(admin, "k")
    made = sign(admin, "k").json
    postgres.kill()
    try:
        assert sign(admin, "k").status == 200

        def stale():
            got = sign(admin, "k")
            assert got.status == 200 or (got.status, got.reason) == (503, "revocation_stale"), got
            return got.status == 503
        wait_for(stale, 30, what="the lease to end")
        # Nor does anybody get in by a credential that may have ended.
        wait_for(lambda: admin.get("/v1/keys/k").reason == "revocation_stale", 30, what="iam's lease to end")
        # What a public key can do needs no lease.
        assert admin.post("/v1/keys/k/verify", {"message_b64": "aGk=", "signature_b64": made["signature_b64"]}).json["valid"]
        # A shard that starts meanwhile is told.
        pid = fleet.processes()["keys.0"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: fleet.processes()["keys.0"] not in (0, pid), 30, what="another shard")
        assert not any(sign(admin, "k").status == 200 for _ in range(20))
    finally:
        postgres.start()
    wait_for(lambda: sign(admin, "k").status == 200, 60, what="signatures again")


def test_racing_changes_of_one_key(shared, postgres):
    fleet = shared()
    key = fleet.key(fleet.admin(), "k", activate=False)
    codes = []

    def race():
        who = fleet.admin()
        codes.extend(who.post("/v1/keys/k/" + verb, {"reason": "race"} if verb == "deactivate" else {}).status
                     for verb in ("activate", "rotate", "deactivate") * 3)
    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {200, 409}
    versions = [int(v) for (v,) in postgres.rows(
        "SELECT version FROM aegis_journal.event WHERE stream = 'key:%s' ORDER BY seq" % key["id"])]
    assert versions == list(range(1, len(versions) + 1))
    assert codes.count(200) == len(versions) - 1


def test_init_gives_a_role_what_it_needs_and_no_more(fresh_fleet, postgres, tmp_path):
    postgres.run("DROP SCHEMA IF EXISTS aegis_journal CASCADE")
    for role in ("journal_owner", "journal_user"):
        postgres.run("DROP OWNED BY %s" % role, check=False)
        postgres.run("DROP ROLE IF EXISTS %s" % role)
        postgres.run("CREATE ROLE %s LOGIN NOSUPERUSER PASSWORD '%s'" % (role, PASSWORD))
    postgres.run("GRANT CREATE ON DATABASE postgres TO journal_owner")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)

    def journal(role):
        return {"kind": "postgres", "postgres": {"url": postgres.url.replace("aegis@", role + "@"), "password_file": str(secret)}}
    fleet = fresh_fleet(dict(CONFIG, journal=journal("journal_user")), start=False)
    owner = tmp_path / "owner.yaml"
    owner.write_text(json.dumps({"journal": journal("journal_owner")}))
    plan = fleet.run("init", "--plan", "--role", "journal_user", check=0).stdout
    assert "GRANT EXECUTE" in plan and "journal_user" in plan
    assert postgres.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis_journal'") == [["0"]]
    for _ in range(2):  # a second time there is nothing to do
        fleet.run("init", "--config", str(owner), "--role", "journal_user", check=0)
    assert fleet.run("init", "--config", str(owner), "--role", "a; DROP").returncode == 2
    fleet.start()
    fleet.key(fleet.admin(), "k")
    mine = postgres.url.replace("aegis@", "journal_user@")
    for sql in ("INSERT INTO aegis_journal.stream VALUES ('x', 1, false)", "UPDATE aegis_journal.head SET seq = 0",
                "CREATE TABLE aegis_journal.t (i int)", "DELETE FROM aegis_journal.event", "DROP TABLE aegis_journal.idem"):
        done = subprocess.run([postgres.bin + "/psql", "-X", "-d", mine, "-v", "VERBOSITY=sqlstate", "-c", sql], text=True,
                              capture_output=True, env=dict(os.environ, PGPASSWORD=PASSWORD))
        assert done.returncode != 0 and "42501" in done.stderr, (sql, done.stderr)
    # All the connections that the role may have are taken: refused in time, and well again without a start.
    postgres.run("ALTER ROLE journal_user CONNECTION LIMIT 0")
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'journal_user'")
    admin = fleet.admin()

    def refused():
        begun = time.monotonic()
        got = admin.post("/v1/keys", {"key_spec": "EC_P256"})
        assert time.monotonic() - begun < 15
        return (got.status, got.reason) == (503, "journal")
    wait_for(refused, 30, what="a refusal")
    pid = of_journal(fleet)
    postgres.run("ALTER ROLE journal_user CONNECTION LIMIT -1")
    wait_for(lambda: admin.post("/v1/keys", {"key_spec": "EC_P256"}).status == 201, 60, what="changes again")
    assert of_journal(fleet) == pid
    # What the plan says is what is done.
    fleet.stop()
    postgres.run("DROP SCHEMA aegis_journal CASCADE")
    postgres.run(plan)
    assert postgres.rows("SELECT max(version) FROM aegis_journal.migration") == [["7"]]


# ---- two nodes, each a ring of its own, on one history


@pytest.fixture
def nodes(shared):
    first = shared()
    first.admin().ok("GET", "/v1/whoami")
    second = shared()
    second.run("admin-token", "--out", os.path.join(second.state, "admin.token"), check=0)
    return first, second


def state_of(who, key):
    got = who.get("/v1/keys/" + key)
    return got.json["state"] if got.status == 200 else got.status


def test_what_one_node_does_binds_on_the_other(nodes):
    a, b = [node.admin() for node in nodes]
    key = nodes[0].key(a, "k")
    wait_for(lambda: state_of(b, "k") == "Active", 10, what="the key on the other node")
    assert b.ok("GET", "/v1/keys/k")["id"] == key["id"]
    assert b.post("/v1/keys", {"key_spec": "EC_P256", "alias": "k"}).status == 409
    took = []
    for n in range(20):
        nodes[0].key(a, "k%d" % n)
        wait_for(lambda name="k%d" % n: state_of(b, name) == "Active", 10, what="the key on the other node")
        a.ok("POST", "/v1/keys/k%d/compromise" % n, {"reason": "test"})
        begun = time.monotonic()
        wait_for(lambda name="k%d" % n: state_of(b, name) == "Compromised", 10, 0.001, "the compromise to bind")
        took.append(time.monotonic() - begun)
        assert b.post("/v1/keys/k%d/activate" % n, {}).status == 409
    print("bound after (s): %s" % " ".join("%.3f" % t for t in sorted(took)))
    # And back: what the second does the first hears.
    b.ok("POST", "/v1/keys/k/compromise", {"reason": "test"})
    wait_for(lambda: state_of(a, "k") == "Compromised", 10, what="the compromise to bind")
    assert sign(a, "k").status == 409


def happened(node, operation, outcome="allowed"):
    return sorted(e["resource"]["id"] for e in node.all_events() if e["operation"] == operation and e["outcome"] == outcome)


def test_what_is_due_is_done_once(nodes):
    """Both clocks move at once: each key is rotated by the node that has it, once a turn, and nothing ends twice."""
    a, b = [node.admin() for node in nodes]
    keys = [node.key(who, rotation={"every_s": 600})["id"] for node, who in ((nodes[0], a), (nodes[1], b)) for _ in range(5)]
    gone = nodes[0].key(a, "gone", activate=False)["id"]
    a.ok("POST", "/v1/keys/gone/destroy", {"reason": "test", "pending_window_s": 1500})
    wait_for(lambda: b.get("/v1/keys/" + gone).json.get("destroy_at"), 30, what="the other node")
    for turn in (2, 3, 4):
        for node in nodes:
            node.move_clock(601)
        for who in (a, b):
            wait_for(lambda: [who.ok("GET", "/v1/keys/" + id)["version"] for id in keys] == [turn] * 10, 30, what="turn %d" % turn)
    for who in (a, b):
        wait_for(lambda: state_of(who, gone) == "Destroyed", 30, what="the end")
    # A key stays whole: it is used and rotated where its material is.
    assert sign(a, keys[0]).status == sign(b, keys[9]).status == 200
    got = b.post("/v1/keys/%s/rotate" % keys[0], {})
    assert (got.status, got.reason) == (503, "rot") and "node that made it" in got.json["detail"]
    assert (sign(b, keys[0]).status, sign(b, keys[0]).reason) == (503, "rot")
    done = [happened(node, "key.rotated") for node in nodes]
    assert done == [sorted(keys[:5] * 3), sorted(keys[5:] * 3)]
    assert [happened(node, "key.destroyed") for node in nodes] == [[gone], []]


RACES = int(os.environ.get("AEGIS_RACES", "200"))  # of each node; make chaos has 1,000
RACE = (("activate", 20), ("rotate", 40), ("label", 40))


class Racer(threading.Thread):
    """Changes one key again and again; near the end it is deactivated, by whoever comes first."""

    def __init__(self, node, number, count, seed):
        super().__init__()
        self.who, self.number, self.count, self.random = node.admin(), number, count, random.Random("%d-%d" % (seed, number))
        self.answers = []

    def one(self, n):
        verb = self.random.choices([row[0] for row in RACE], [row[1] for row in RACE])[0]
        if n > self.count * 0.95:
            verb = "deactivate"
        if verb == "label":
            return self.who.request("PATCH", "/v1/keys/k", {"labels": {"by": "n%d-%d" % (self.number, n)}})
        return self.who.post("/v1/keys/k/" + verb, {"reason": "race"} if verb == "deactivate" else {})

    def run(self):
        self.answers = [self.one(n) for n in range(self.count)]


def test_racing_changes_from_two_nodes(nodes, postgres):
    """K23: one serial history, everybody else was told 409, and what the nodes have is what the history says."""
    key = nodes[0].key(nodes[0].admin(), "k", activate=False)
    wait_for(lambda: state_of(nodes[1].admin(), "k") == "PreActive", 30, what="the key on the other node")
    seed = seed_of()
    racers = [Racer(node, 2 * i + half, RACES // 2, seed) for i, node in enumerate(nodes) for half in range(2)]
    [racer.start() for racer in racers]
    [racer.join() for racer in racers]
    answers = [answer for racer in racers for answer in racer.answers]
    assert len(answers) == 2 * RACES
    # A rotation belongs to the node that has the key's material; the other one says so.
    others = [a for a in answers if a.status not in (200, 409)]
    assert all((a.status, a.reason) == (503, "rot") for a in others), others[:3]
    done = [a.json for a in answers if a.status == 200]
    assert {a.status for a in answers if a not in others} == {200, 409}
    versions = [int(v) for (v,) in postgres.rows(
        "SELECT version FROM aegis_journal.event WHERE stream = 'key:%s' ORDER BY seq" % key["id"])]
    assert versions == list(range(1, len(versions) + 1)) and len(done) == len(versions) - 1
    # No update is lost: each of them was answered with a revision of its own.
    assert sorted(d["revision"] for d in done) == versions[1:]
    last = max(done, key=lambda d: d["revision"])
    assert last["state"] == "Deactivated"
    now = [wait_for(lambda: (lambda k: k if k["revision"] == len(versions) else None)(node.admin().ok("GET", "/v1/keys/k")), 30,
                    what="all of it") for node in nodes]
    assert now[0] == now[1] == last
    # And again from the journal alone.
    nodes[1].stop()
    shutil.rmtree(nodes[1].state + "/snapshots")
    nodes[1].start()
    assert nodes[1].admin().ok("GET", "/v1/keys/k") == last


# ---- a turn's appends together are what they are one after the other


def texts(values, kind):
    return "ARRAY[%s]::%s[]" % (",".join("NULL" if v is None else "'%s'" % v for v in values), kind)


def any_turn(dice, versions, ended_ones, clean):
    """Some appends of some changes each; where not all are clean, some expect what is not, end streams or repeat keys."""
    a, c = [], []
    ahead = dict(versions)
    for _ in range(dice.randint(2, 9)):
        changes = dice.randint(1, 4)
        odd = not clean and dice.random() < 0.3
        idem = "\\x%02x" % dice.randrange(4) if not clean and dice.random() < 0.2 else None
        outcome = "\\x%08x" % dice.randrange(1 << 32) if dice.random() < 0.7 else None
        a.append((changes, dice.choice(("default", "other")), dice.choice((None, "hum_1", "agt_2")),
                  dice.choice(("keys.0", "keys.1", "iam")), dice.choice((None, "\\x01")), outcome, idem,
                  None if idem is None else "\\x02", dice.randrange(9), "\\x%02x" % dice.randrange(256)))
        for _ in range(changes):
            stream = "key:%d" % dice.choice([n for n in range(99) if "key:%d" % n not in ended_ones][:12])
            expected = ahead.get(stream, 0)
            ended = dice.choice((None, False, True if odd else None))
            c.append((stream, expected + (1 if odd and dice.random() < 0.5 else 0), dice.randrange(1000, 2000),
                      "\\x%06x" % dice.randrange(1 << 24), ended))
            ahead[stream] = expected + 1
    kinds = ("int", "text", "text", "text", "bytea", "bytea", "bytea", "bytea", "int", "bytea")
    return ", ".join([texts(column, kind) for column, kind in zip(zip(*a), kinds)] +
                     [texts(column, kind) for column, kind in zip(zip(*c), ("text", "bigint", "int", "bytea", "boolean"))])


def test_a_turn_together_is_the_turn_one_by_one(postgres):
    postgres.run("DROP SCHEMA IF EXISTS aegis_journal CASCADE")
    postgres.run(subprocess.run([AEGIS, "init", "--plan"], capture_output=True, text=True, check=True).stdout)
    postgres.run("SELECT aegis_journal.enter('n')")
    dice = random.Random(seed_of())
    rows = "SELECT '%s', array_agg(x) FROM (SELECT x::text AS x FROM %s AS x ORDER BY 1) AS x;"
    shown = "".join(rows % (t, "aegis_journal." + t) for t in ("head", "event", "stream", "author", "idem"))
    aside = "ALTER FUNCTION aegis_journal.append_each RENAME TO gone;"
    for turn in range(16):
        there = postgres.rows("SELECT name, version, ended FROM aegis_journal.stream")
        versions = dict((name, int(v)) for name, v, _ in there)
        clean = turn % 2 == 0
        args = "('n', 1, %d, %s)" % (1000 + turn, any_turn(dice, versions, [name for name, _, e in there if e == "t"] if clean else [], clean))

        def said(how, end, before=""):
            done = postgres.run("BEGIN;%s" % before + rows % ("said", "aegis_journal.%s%s" % (how, args)) + shown + end, check=False)
            return done.stdout + done.stderr
        each = said("append_each", "ROLLBACK")
        if clean:  # the former one is not needed
            assert said("append", "ROLLBACK", aside) == each and "ERROR" not in each, args
        assert said("append", "COMMIT") == each, args

# SPDX-License-Identifier: Apache-2.0
"""Two nodes on a PostgreSQL whose replica takes its place (D14): no change that was acknowledged is lost, changes go on
within thirty seconds, and what was revoked is never decided by what a replica has."""
import os
import signal
import threading
import time

import pytest

from conftest import CONFIG, wait_for
from servers import Postgres
from test_journal_postgres import PASSWORD, Writers, same_everywhere, sign

OUTAGE_S = 90  # of changes, from the primary's loss; about 3 where nothing else runs


class Pair:
    """A primary, which commits what its replica has, too; and the replica."""

    def __init__(self):
        self.primary, self.replica = Postgres(PASSWORD), None
        self.primary.start()
        self.replica = Postgres(PASSWORD, of=self.primary).start()
        self.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.run("SELECT pg_reload_conf()")
        wait_for(lambda: self.primary.rows("SELECT sync_state FROM pg_stat_replication") == [["sync"]], 60,
                 what="the replica to follow")

    def promote(self):
        self.replica.run("SELECT pg_promote(true)")

    @property
    def url(self):
        return "postgresql://aegis@127.0.0.1:%d,127.0.0.1:%d/postgres" % (self.primary.port, self.replica.port)

    def leave(self):
        for server in (self.replica, self.primary):
            if server is not None:
                server.leave()


@pytest.fixture
def pair():
    made = Pair()
    try:
        yield made
    finally:
        made.leave()


@pytest.fixture
def node(pair, fresh_fleet, tmp_path):
    """make() is one more node; its database is the pair, whoever of them takes writes."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    settings = {"url": pair.url, "password_file": str(secret), "timeout_ms": 2000}

    def make(start=True, **more):
        return fresh_fleet(dict(CONFIG, journal={"kind": "postgres", "postgres": dict(settings, **more)}), start=start)
    return make


def nodes_of(node, **more):
    first, second = node(**more), node(**more)
    second.run("admin-token", "--out", os.path.join(second.state, "admin.token"), check=0)
    return first, second


def revoked(agent, key):
    """Whether it is said for sure that it was; never that it may."""
    got = sign(agent, key)
    assert got.status in (401, 503), got
    return got.status == 401


def stale(got):
    return got.status == 503 and got.reason == "revocation_stale"


def test_a_replica_decides_nothing(node, pair):
    """One that stands still, and all that is to be reached of the database: neither a node that knows what was revoked nor
    one that starts takes anything from it."""
    a, b = nodes_of(node, lease_s=4)
    admin = a.admin()
    a.key(admin, "k")
    agent = a.agent(admin, ["key:k:sign"])
    other = a.agent(admin, ["key:k:sign"])
    assert sign(agent, "k").status == sign(other, "k").status == 200
    pair.replica.run("SELECT pg_wal_replay_pause()")
    wait_for(lambda: pair.replica.rows("SELECT pg_get_wal_replay_pause_state()") == [["paused"]], 30, what="it to stand still")
    b.admin().ok("POST", "/v1/agents/%s/revoke" % agent.id, {"reason": "test"})
    wait_for(lambda: sign(agent, "k").status == 401, 30, what="the revocation on the other node")
    seen = [server.rows("SELECT max(seq) FROM aegis_journal.event")[0][0] for server in (pair.primary, pair.replica)]
    assert int(seen[1]) < int(seen[0]), seen
    pair.primary.kill()
    late = node(start=False, lease_s=4)
    starting = threading.Thread(target=late.start)
    starting.start()
    # It answers questions, but no node asks it: the lease ends although it is there.
    wait_for(lambda: (revoked(agent, "k"), stale(sign(other, "k")))[1], 30, 0.05, "the lease to end")
    wait_for(lambda: "read-only" in late.tail(), 30, what="the word of who cannot start")
    for _ in range(20):
        revoked(agent, "k")
        assert stale(sign(other, "k"))
    assert starting.is_alive()
    pair.promote()
    wait_for(lambda: sign(other, "k").status == 200, 60, what="signatures again")
    assert revoked(agent, "k")
    starting.join(60)
    late.run("admin-token", "--out", os.path.join(late.state, "admin.token"), check=0)
    assert late.admin().ok("GET", "/v1/agents/" + agent.id)["state"] == "revoked"


def stand_still(server):
    stopped = server.processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return stopped


@pytest.fixture
def writers():
    made = []
    yield made
    for w in made:
        w.end()


def test_the_primary_is_lost_under_load(node, pair, writers):
    """It stands still, which is worse than an end: who asks it waits. Then it comes back, as if nothing had been."""
    a, b = nodes_of(node)
    writers += [Writers(a, 2), Writers(b, 2, first=2)]

    def more(count, what, timeout_s=60):
        had = [len(w.acknowledged) for w in writers[-2:]]
        wait_for(lambda: all(len(w.acknowledged) >= n + count for w, n in zip(writers[-2:], had)), timeout_s, what=what)
    more(10, "keys")
    stopped = stand_still(pair.primary)
    try:
        begun = time.monotonic()
        pair.promote()
        more(1, "keys in the replica", OUTAGE_S)
        print("changes again after %.1f s" % (time.monotonic() - begun))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    # The former primary takes connections and writes, but has no replica: it acknowledges nothing, and who asks it
    # first, as a node that starts does, asks the other one next.
    b.stop()
    b.start()
    writers += [Writers(a, 1, first=4), Writers(b, 1, first=5)]
    more(10, "keys on both again")
    every = Every(writers)
    for fleet in (a, b):
        wait_for(lambda: len(fleet.admin().items("/v1/keys?limit=1000")) >= len(every.acknowledged), 30, what="all keys")
        same_everywhere(fleet, pair.replica, every)


class Every:
    def __init__(self, writers):
        self.acknowledged, self.refused, self.unknown = {}, {}, set()
        for w in writers:
            w.end()
            self.acknowledged.update(w.acknowledged)
            self.refused.update(w.refused)
            self.unknown |= w.unknown

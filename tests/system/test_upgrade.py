# SPDX-License-Identifier: Apache-2.0
"""The journal's schema goes from its last version to this one under the changes of a node that has not been upgraded yet
(D03). make chaos has a million records (AEGIS_RECORDS)."""
import os
import subprocess
import threading

import pytest

from conftest import CONFIG, wait_for
from servers import Postgres

PASSWORD = "a password of the journal"
RECORDS = int(os.environ.get("AEGIS_RECORDS", "20000"))
PER_KEY = 10  # records of a key: it is made, and labelled

# Another key's facts with this one's id in it: ids are all of one length.
FACT = "decode(replace(encode(fact, 'hex'), encode(like_id::bytea, 'hex'), encode(%s::bytea, 'hex')), 'hex')"
FILL = """
INSERT INTO aegis_journal.event SELECT head.seq + n, 'key:' || new_id, (n - 1) %% {per} + 1, type, {fact}, committed_at, tenant,
 actor_id, NULL, 'filler', author, NULL, NULL
FROM (SELECT n, 'key_' || md5(((n - 1) / {per})::text) AS new_id FROM generate_series(1, {count}) AS n) AS made,
 template, aegis_journal.head WHERE template.version = least((n - 1) %% {per} + 1, 2);
INSERT INTO aegis_journal.stream SELECT stream, max(version), false FROM aegis_journal.event WHERE node = 'filler' GROUP BY stream;
UPDATE aegis_journal.head SET seq = seq + {count};
""".replace("%%", "%")
OLDER = """
ALTER SCHEMA aegis_journal RENAME TO newer;
{plan}
SET session_replication_role = replica;
INSERT INTO aegis_journal.event SELECT * FROM newer.event;
INSERT INTO aegis_journal.stream SELECT * FROM newer.stream;
INSERT INTO aegis_journal.node SELECT id, epoch FROM newer.node;
INSERT INTO aegis_journal.author SELECT * FROM newer.author;
UPDATE aegis_journal.head SET id = newer.head.id, seq = newer.head.seq FROM newer.head;
SET session_replication_role = origin;
DROP SCHEMA newer CASCADE;
"""
APPEND = """SELECT o_status, o_last FROM template, LATERAL aegis_journal.append('{node}', 1,
 (extract(epoch FROM clock_timestamp()) * 1000)::bigint, ARRAY[1], ARRAY[tenant], ARRAY[actor_id], ARRAY[author],
 ARRAY[NULL::bytea], ARRAY[NULL::bytea], ARRAY[NULL::bytea], ARRAY[NULL::bytea], ARRAY[0], ARRAY[''::bytea],
 ARRAY['key:{id}'], ARRAY[0::bigint], ARRAY[type], ARRAY[{fact}], ARRAY[false]) WHERE version = 1;
"""


class Older(threading.Thread):
    """A node of the version before: it appends, one change after the other, and knows what it was told."""

    def __init__(self, postgres, name):
        super().__init__()
        self.name, self.done, self.wrong, self.stop = name, [], [], False
        self.psql = subprocess.Popen([postgres.bin + "/psql", "-X", "-A", "-t", "-q", "-d", postgres.url], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env=dict(os.environ, PGPASSWORD=PASSWORD))
        assert self.ask("SELECT o_epoch FROM aegis_journal.enter('%s');\n" % name) == "1"
        self.start()

    def ask(self, sql):
        self.psql.stdin.write(sql)
        self.psql.stdin.flush()
        return self.psql.stdout.readline().strip()

    def run(self):
        while not self.stop and not self.wrong:
            id = "key_%s%031x" % (self.name, len(self.done))  # a name is one hexadecimal digit
            said = self.ask(APPEND.format(node=self.name, id=id, fact=FACT % ("'%s'" % id)).replace("\n", "") + "\n")
            if said.startswith("0|"):
                self.done.append((id, int(said[2:])))
            else:
                self.wrong.append(said)

    def end(self):
        self.stop = True
        self.join(60)
        self.psql.stdin.close()
        self.psql.wait(30)


@pytest.fixture
def postgres():
    made = Postgres(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


@pytest.fixture
def older(postgres):
    made = []

    def make(name):
        made.append(Older(postgres, name))
        return made[-1]
    yield make
    for node in made:
        node.end()


def version(postgres):
    return postgres.rows("SELECT max(version) FROM aegis_journal.migration")[0][0]


def begin(fleet):
    """A million records may take a busy machine longer than the fleet waits for itself: what was read stays read."""
    for left in reversed(range(1 if RECORDS < 100000 else 10)):
        try:
            return fleet.start(120)
        except AssertionError as error:
            if left == 0 or "is not ready after" not in str(error):
                raise


def test_an_upgrade_under_changes(postgres, fresh_fleet, older, tmp_path):
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    fleet = fresh_fleet(dict(CONFIG, journal={"kind": "postgres", "postgres": {
        "url": postgres.url, "password_file": str(secret), "timeout_ms": 10000}}))
    admin = fleet.admin()
    like = fleet.key(admin, activate=False)["id"]
    admin.ok("PATCH", "/v1/keys/" + like, {"labels": {"like": "this"}})
    fleet.stop()
    postgres.run("CREATE TABLE template AS SELECT *, '%s' AS like_id FROM aegis_journal.event WHERE stream = 'key:%s'"
                 % (like, like))
    now = int(version(postgres))
    plan = fleet.run("init", "--plan", check=0).stdout
    postgres.run(OLDER.format(plan=plan[:plan.index("\n-- %d\n" % now)] + "COMMIT;"))
    postgres.run(FILL.format(per=PER_KEY, count=RECORDS, fact=FACT % "new_id"))
    assert version(postgres) == str(now - 1)

    nodes = [older(name) for name in "ab"]

    def more(count=20):
        had = [len(node.done) for node in nodes]
        wait_for(lambda: any(node.wrong for node in nodes) or all(len(node.done) >= n + count for node, n in zip(nodes, had)),
                 60, what="changes by those of the version before")
    more()
    begin(fleet)
    assert version(postgres) == str(now)
    more()
    for node in nodes:
        node.end()
        assert not node.wrong, node.wrong
    # What was said to be done is there, each at its place, and the node has it.
    rows = dict(postgres.rows("SELECT stream, seq FROM aegis_journal.event WHERE node IN ('a', 'b')"))
    assert rows == dict(("key:" + id, str(seq)) for node in nodes for id, seq in node.done)
    count, first, last = postgres.rows("SELECT count(*), min(seq), max(seq) FROM aegis_journal.event")[0]
    assert (first, last) == ("1", count) and int(count) > RECORDS
    admin = fleet.admin()
    for node in nodes:
        wait_for(lambda: admin.get("/v1/keys/" + node.done[-1][0]).status == 200, 30, what="the last change here")
        assert admin.ok("GET", "/v1/keys/" + node.done[0][0])["state"] == "PreActive"
    assert admin.ok("GET", "/v1/keys/key_" + postgres.rows("SELECT md5('7')")[0][0])["labels"] == {"like": "this"}
    fleet.key(admin, "made-by-this-version")
    fleet.stop()
    # A second time there is nothing to do, and there is no way back.
    before = postgres.rows("SELECT * FROM aegis_journal.migration")
    for _ in range(2):
        fleet.run("init", "--config", fleet.config_file, check=0)
    assert postgres.rows("SELECT * FROM aegis_journal.migration") == before
    postgres.run("INSERT INTO aegis_journal.migration VALUES (%d, now())" % (now + 1))
    said = fleet.run("init", "--config", fleet.config_file)
    assert said.returncode != 0 and "is at version %d, newer than this program's %d" % (now + 1, now) in said.stderr, said

# SPDX-License-Identifier: Apache-2.0
"""The Postgres sink, against Debian's PostgreSQL."""
import json
import os
import signal
import threading

import pytest

from conftest import CONFIG, wait_for
from servers import Postgres

PASSWORD = "a password of the database"


@pytest.fixture(scope="module")
def postgres():
    made = Postgres(PASSWORD)
    try:
        yield made.start()
    finally:
        made.leave()


@pytest.fixture
def stored(fresh_fleet, postgres, tmp_path):
    def make(**more):
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        fleet = fresh_fleet(dict(CONFIG, sinks=CONFIG["sinks"] + [dict(
            {"name": "db", "kind": "postgres", "url": postgres.url, "password_file": str(secret), "retry_max_s": 1},
            **more)]))
        return fleet, fleet.admin()
    postgres.run("DROP SCHEMA IF EXISTS aegis_audit CASCADE")
    return make


def last_id(fleet, admin):
    (event,) = fleet.event_of(admin, admin.get("/v1/whoami"))
    return event["event_id"]


def has(postgres, event_id):
    def look():
        found = postgres.run("SELECT 1 FROM aegis_audit.event WHERE event_id = '%s'" % event_id, check=False)
        return found.stdout.strip() == "1"
    wait_for(look, 60, what="the row")


def test_rows_have_what_is_asked_for(stored, postgres):
    fleet, admin = stored()
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"])
    agent.ok("POST", "/v1/keys/k/sign", {"message_b64": "aGk="})
    admin.get("/v1/keys/none")
    has(postgres, last_id(fleet, admin))
    known = dict((e["event_id"], e) for e in fleet.all_events())
    for event_id, text in [row.split("|", 1) for row in postgres.run(
            "SELECT event_id, event FROM aegis_audit.event").stdout.splitlines()]:
        assert json.loads(text) == known[event_id]
    me = admin.ok("GET", "/v1/whoami")["id"]
    assert postgres.rows("SELECT actor_id, actor_kind, root_id, resource_alias, outcome FROM aegis_audit.event "
                         "WHERE tenant = 'default' AND operation = 'key.sign'") == [[agent.id, "agent", me, "k", "allowed"]]
    assert postgres.rows("SELECT code FROM aegis_audit.event WHERE outcome = 'denied' OR outcome = 'failed'") != []
    plan = postgres.run("SET enable_seqscan = off; EXPLAIN SELECT * FROM aegis_audit.event WHERE tenant = 'default' AND "
                        "actor_id = '%s' AND occurred_at > now() - interval '1 hour'" % me).stdout
    assert "Index" in plan
    assert PASSWORD not in open(fleet.log, errors="replace").read()
    (pid,) = [p for name, p in fleet.processes().items() if name == "postgres.db"]
    assert PASSWORD.encode() not in open("/proc/%d/cmdline" % pid, "rb").read()


def test_a_server_killed_under_load_loses_nothing(stored, postgres):
    fleet, admin = stored()
    has(postgres, last_id(fleet, admin))
    over = threading.Event()

    def load():
        client = fleet.admin()
        while not over.is_set():
            client.ok("GET", "/v1/whoami")
    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["sent"] > 100, 60, what="rows")
        postgres.kill()
        wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["state"] == "retrying", 60, what="trouble to be told")
        wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["lag_events"] > 100, 60, what="a lag")
        postgres.start()
        wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["state"] == "running", 60, what="trouble to end")
        os.kill(fleet.processes()["postgres.db"], signal.SIGKILL)
        wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["sent"] > 20, 60, what="the next process to store")
    finally:
        over.set()
        for t in threads:
            t.join()
    has(postgres, last_id(fleet, admin))
    (count, distinct, newest), = postgres.rows("SELECT count(*), count(DISTINCT event_id), max(seq) FROM "
                                               "aegis_audit.event WHERE tenant = 'default'")
    assert count == distinct == newest, "every event once"


def test_old_months_go(stored, postgres):
    fleet, admin = stored()
    has(postgres, last_id(fleet, admin))
    postgres.run("CREATE TABLE aegis_audit.event_200001 PARTITION OF aegis_audit.event FOR VALUES FROM "
                 "('2000-01-01T00:00:00Z') TO ('2000-02-01T00:00:00Z')")
    fleet.leave()
    fleet, admin = stored(retention_s="30d")
    has(postgres, last_id(fleet, admin))
    parts = [row[0] for row in postgres.rows("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
                                             "'aegis_audit.event'::regclass")]
    assert "aegis_audit.event_200001" not in parts and len(parts) >= 1
    assert postgres.rows("SELECT count(*) FROM aegis_audit.event")[0][0] != "0"


def test_migrations_are_numbered_and_idempotent(stored, postgres):
    fleet, admin = stored()
    has(postgres, last_id(fleet, admin))
    os.kill(fleet.processes()["postgres.db"], signal.SIGKILL)
    has(postgres, last_id(fleet, admin))
    assert postgres.rows("SELECT version FROM aegis_audit.migration") == [["1"]]
    # One that is newer than this program is left alone.
    postgres.run("INSERT INTO aegis_audit.migration VALUES (99, now())")
    os.kill(fleet.processes()["postgres.db"], signal.SIGKILL)
    found = wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["state"] == "retrying" and
                     admin.ok("GET", "/v1/sinks/db"), 60, what="trouble to be told")
    assert "at version 99, newer than" in found["last_error"]
    postgres.run("DELETE FROM aegis_audit.migration WHERE version = 99")
    has(postgres, last_id(fleet, admin))


def test_the_password_is_in_its_file(stored, postgres, tmp_path):
    with pytest.raises(AssertionError) as told:
        stored(url=postgres.url.replace("aegis@", "aegis:secret@"))
    assert "the password belongs in password_file" in str(told.value)
    assert "aegis:secret" not in str(told.value).split("SINK-URL")[1]
    wrong = tmp_path / "wrong"
    wrong.write_text("nonsense")
    wrong.chmod(0o600)
    fleet, admin = stored(password_file=str(wrong))
    found = wait_for(lambda: admin.ok("GET", "/v1/sinks/db")["state"] == "retrying" and
                     admin.ok("GET", "/v1/sinks/db"), 60, what="trouble to be told")
    assert "password authentication failed" in found["last_error"] and found["dead_letters"] == 0

# SPDX-License-Identifier: Apache-2.0
"""aegis journal migrate: a journal goes into PostgreSQL and comes back, the same."""
import json
import os
import shutil

import pytest

from conftest import CONFIG, Fleet
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
def settings(postgres, tmp_path):
    postgres.run("DROP SCHEMA IF EXISTS aegis_journal CASCADE")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    return dict(CONFIG, journal={"kind": "postgres", "postgres": {"url": postgres.url, "password_file": str(secret)}})


def migrate(fleet, to, check=0):
    done = fleet.run("journal", "migrate", "--to", to, "--config", fleet.config_file, "--json", check=check)
    return json.loads(done.stdout) if check == 0 else done.stderr


def hash_of(fleet):
    return fleet.run("journal", "hash", check=0).stdout.strip()


def picture(fleet):
    admin = fleet.admin()
    return [admin.items(path) for path in ("/v1/keys?limit=1000", "/v1/agents?limit=1000", "/v1/principals?limit=1000")]


def fill(fleet):
    """Some of everything: keys in each state, agents, a repeat that is remembered."""
    admin = fleet.admin()
    for n in range(30):
        fleet.key(admin, "k%d" % n, labels={"n": str(n)})
    admin.ok("POST", "/v1/keys/k1/rotate", {})
    admin.ok("POST", "/v1/keys/k2/compromise", {"reason": "test"})
    fleet.agent(admin, ["key:k0:sign"], label="stays")
    gone = fleet.agent(admin, ["key:k0:sign"], label="goes")
    admin.ok("POST", "/v1/agents/%s/revoke" % gone.id, {"reason": "test"})
    return admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": "once"}, headers={"Idempotency-Key": "once"}).json


def again(fleet):
    return fleet.admin().post("/v1/keys", {"key_spec": "EC_P256", "alias": "once"}, headers={"Idempotency-Key": "once"}).json


@pytest.fixture(scope="module")
def filled():
    """A fleet that ran, and what it was seen to have."""
    fleet = Fleet(config=CONFIG)
    try:
        fleet.start()
        fleet.once = fill(fleet)
        fleet.picture = picture(fleet)
        with pytest.raises(AssertionError, match="a fleet runs here already"):
            migrate(fleet, "postgres")
        fleet.stop()
        yield fleet
    finally:
        fleet.leave()


@pytest.fixture
def fleet(filled, fresh_fleet, settings):
    """A copy of its state directory, whose configuration names the database."""
    made = fresh_fleet(settings, start=False)
    shutil.copytree(filled.state, made.state, dirs_exist_ok=True)
    return made


def test_there_and_back(fleet, filled, postgres):
    state = hash_of(fleet)
    there = migrate(fleet, "postgres")
    assert there["state_hash"] == state and there["answers"] >= 1 and not there["resumed"]
    assert [[str(there["records"])]] == postgres.rows("SELECT count(*) FROM aegis_journal.event")
    assert "already" in migrate(fleet, "postgres", 6)
    # What has ended is known there to have ended.
    assert postgres.rows("SELECT count(*) FROM aegis_journal.stream WHERE ended AND name ~ '^(key|agent):'") == [["2"]]
    fleet.start()
    assert picture(fleet) == filled.picture and again(fleet)["id"] == filled.once["id"]
    admin = fleet.admin()
    assert admin.post("/v1/keys/k2/activate", {}).status == 409
    assert admin.post("/v1/keys/k3/sign", {"message_b64": "aGk="}).status == 200
    fleet.key(admin, "there")
    before = picture(fleet)
    fleet.stop()
    back = migrate(fleet, "lmdb")
    assert back["records"] > there["records"] and back["node"] == there["node"] and back["state_hash"] == hash_of(fleet)
    assert "of its own" in migrate(fleet, "lmdb", 6)
    # The database's part has ended: it is nobody's target.
    assert "was moved" in migrate(fleet, "postgres", 6)
    fleet.configure(CONFIG)
    fleet.start()
    assert picture(fleet) == before and again(fleet)["id"] == filled.once["id"]
    assert fleet.admin().post("/v1/keys/there/sign", {"message_b64": "aGk="}).status == 200
    fleet.run("audit", "verify", "--dir", fleet.state + "/audit", "--public-key", fleet.state + "/audit/public-key.pem",
              check=0)


def test_nothing_changes_on_the_way(fleet):
    """There and back without a change between: the same bytes, and what a crash left is finished."""
    state, path = hash_of(fleet), fleet.state + "/journal/data.mdb"
    os.rename(path, path + ".kept")
    assert "no journal" in migrate(fleet, "postgres", 4)
    os.rename(path + ".kept", path)
    data = open(path, "rb").read()
    first = migrate(fleet, "postgres")
    # As if it had died between the two commits.
    open(path, "wb").write(data)
    second = migrate(fleet, "postgres")
    assert second["resumed"] and second["history_hash"] == first["history_hash"] and second["node"] == first["node"]
    data = open(path, "rb").read()
    assert migrate(fleet, "lmdb")["history_hash"] == first["history_hash"]
    assert hash_of(fleet) == state
    # The same on the way back: nobody goes on with either of them before it is finished.
    open(path, "wb").write(data)
    with pytest.raises(AssertionError):
        fleet.start(15)
    assert "JOURNAL-MOVED" in open(fleet.log, errors="replace").read()
    fleet.kill()
    assert migrate(fleet, "lmdb")["resumed"] and hash_of(fleet) == state


def test_what_is_refused(fleet, settings, postgres):
    state = hash_of(fleet)
    migrate(fleet, "postgres")
    # A database that is another's; a journal that another node uses, that went elsewhere, that is another.
    other = fleet.state + ".other"
    shutil.copytree(fleet.state, other)
    postgres.run("INSERT INTO aegis_journal.node VALUES ('busy', 1, now())")
    assert "node busy uses it" in migrate(fleet, "lmdb", 6)
    postgres.run("UPDATE aegis_journal.node SET heard_at = heard_at - interval '1 minute'")
    assert migrate(fleet, "lmdb")["state_hash"] == state
    assert "was moved" in migrate(fleet, "postgres", 6)
    postgres.run("DROP SCHEMA aegis_journal CASCADE")
    there = fleet.run("journal", "migrate", "--to", "lmdb", "--config", fleet.config_file, "--state", other)
    assert there.returncode == 6 and "the database has no journal" in there.stderr
    assert postgres.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'aegis_journal'") == [["0"]]
    shutil.rmtree(other)
    fleet.run("init", "--config", fleet.config_file, check=0)
    postgres.run("SELECT aegis_journal.enter('busy')")
    assert "not empty" in migrate(fleet, "postgres", 6)
    # A schema that a newer program made.
    postgres.run("INSERT INTO aegis_journal.migration VALUES (99, now())")
    assert "is at version 99" in migrate(fleet, "postgres", 6)
    postgres.run("DELETE FROM aegis_journal.migration WHERE version = 99")
    # One that older programs may be using: it is not brought up behind their backs.
    postgres.run("DELETE FROM aegis_journal.migration WHERE version = 7")
    assert "is at version 6" in migrate(fleet, "postgres", 6)
    postgres.run("INSERT INTO aegis_journal.migration VALUES (7, now())")
    # A state directory of a newer program, no such direction, no database.
    version = open(fleet.state + "/VERSION").read()
    for line, word in (("99.0\n", "which is older"), (version, "not empty")):
        with open(fleet.state + "/VERSION", "w") as out:
            out.write(line)
        assert word in migrate(fleet, "postgres", 6)
    assert "postgres or lmdb" in migrate(fleet, "sqlite", 2)
    fleet.configure(CONFIG)
    assert "journal.kind is not postgres" in migrate(fleet, "postgres", 2)
    nobody = dict(settings["journal"]["postgres"], url="postgresql://aegis@127.0.0.1:1/postgres")
    fleet.configure(dict(CONFIG, journal={"kind": "postgres", "postgres": nobody}))
    migrate(fleet, "postgres", 7)
    assert hash_of(fleet) == state  # nothing of all that touched it

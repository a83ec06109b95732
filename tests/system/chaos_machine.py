# SPDX-License-Identifier: Apache-2.0
"""Run by make chaos, not by make test: the machine itself misbehaves under load: its network loses packets, its clock is set, its disk is full. Needs root,
iptables and faketime; what is missing is a failure, not a skip: this suite is asked for by name."""
import calendar
import ctypes
import multiprocessing
import os
import random
import shutil
import subprocess
import time
import traceback

import pytest

import conftest
from chaos import Load, seed_of
from conftest import BUILD, Fleet, wait_for
from servers import Postgres
from game_day import Game, sections

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
CLONE_NEWNET = 0x40000000
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


# ------------------------------------------------------------------ packets

def in_namespace(work, pipe, *args):
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        run("ip", "link", "set", "lo", "up")
        work(*args)
        pipe.send(None)
    except BaseException:
        pipe.send(traceback.format_exc())


def apart(work, *args):
    """work(*args) in a process and a network of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=in_namespace, args=(work, there, *args))
    process.start()
    there.close()
    try:
        failed = here.recv()
    except EOFError:
        failed = "the process died"
    process.join()
    assert failed is None, failed


def rule(action, chain, port, share):
    run("iptables", action, chain, "-i" if chain == "INPUT" else "-o", "lo", "-p", "tcp",
        "--dport" if chain == "INPUT" else "--sport", port, "-m", "statistic", "--mode", "random",
        "--probability", str(share), "-j", "DROP")


def lose_packets(seed):
    fleet = Fleet()
    try:
        fleet.start()
        port = fleet.url.rsplit(":", 1)[1]
        with Load(fleet, seed) as load:
            for share in (0.02, 0.1, 0.3) * ROUNDS:
                for chain in ("INPUT", "OUTPUT"):
                    rule("-A", chain, port, share)
                load.more(20, "answers with %d %% of the packets lost" % (share * 100), 60)
                for chain in ("INPUT", "OUTPUT"):
                    rule("-D", chain, port, share)
            for chain in ("INPUT", "OUTPUT"):  # nothing at all for a while
                rule("-A", chain, port, 1)
            time.sleep(3)
            for chain in ("INPUT", "OUTPUT"):
                rule("-D", chain, port, 1)
            load.more(20, "answers in peace", 60)
        load.check()
    finally:
        fleet.leave()


def test_packets_are_lost():
    apart(lose_packets, seed_of())


# ------------------------------------------------------------ the database

def refused(who):
    begun = time.monotonic()
    got = who.post("/v1/keys", {"key_spec": "AES_256"})
    assert time.monotonic() - begun < 10
    return (got.status, got.reason) == (503, "journal")


def lose_the_database(seed, folder):
    """Its packets are dropped, and it is killed and started again: no phantom success, and all is well by itself."""
    database = Postgres("a password of the chaos")
    fleet = None
    try:
        database.start()
        secret = os.path.join(folder, "password")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write(database.password)
        fleet = Fleet(config=dict(conftest.CONFIG, journal={"kind": "postgres", "postgres": {
            "url": database.url, "password_file": secret}})).start()
        admin = fleet.admin()
        fleet.key(admin, "held")
        sign = {"message_b64": "aGk="}
        admin.ok("POST", "/v1/keys/held/sign", sign)
        with Load(fleet, seed) as load:
            for n in range(2 * ROUNDS):
                if n % 2 == 0:
                    for chain in ("INPUT", "OUTPUT"):
                        rule("-A", chain, str(database.port), 1)
                else:
                    database.kill()
                wait_for(lambda: refused(admin), 60, 0.2, "a refusal")
                wait_for(lambda: admin.post("/v1/keys/held/sign", sign).status == 200, 60, 0.2, "a signature")
                time.sleep(10 if n % 2 == 0 else 2)
                assert refused(admin) and admin.post("/v1/keys/held/sign", sign).status == 200
                if n % 2 == 0:
                    for chain in ("INPUT", "OUTPUT"):
                        rule("-D", chain, str(database.port), 1)
                else:
                    database.start()
                load.more(20, "answers with the database", 90)
        versions = database.rows("SELECT count(*), max(seq) FROM aegis_journal.event")
        assert versions[0][0] == versions[0][1]
        load.check()
    finally:
        if fleet is not None:
            fleet.leave()
        database.leave()


def test_the_database_is_lost(tmp_path):
    apart(lose_the_database, seed_of(), str(tmp_path))


# -------------------------------------------------------------------- clock

def set_clock(path, seconds):
    with open(path + ".new", "w") as out:
        out.write("%+ds\n" % seconds)
    os.rename(path + ".new", path)


def programs_with_a_clock(folder, clock):
    """The fleet's programs behind scripts that load faketime: the supervisor gives its children no environment."""
    os.mkdir(folder)
    for name in os.listdir(BUILD):
        program = os.path.join(BUILD, name)
        if name == "aegis":
            shutil.copy(program, folder)
        elif name == "engine":
            os.symlink(program, os.path.join(folder, name))
        elif name.startswith("aegis-") and os.path.isfile(program) and os.access(program, os.X_OK):
            with open(os.path.join(folder, name), "w") as out:
                out.write("#!/bin/sh\nLD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s FAKETIME_NO_CACHE=1 "
                          "FAKETIME_DONT_FAKE_MONOTONIC=1 exec %s \"$@\"\n" % (FAKETIME, clock, program))
            os.chmod(os.path.join(folder, name), 0o700)


def test_the_clock_is_set(fresh_fleet, tmp_path, monkeypatch):
    """Five minutes ahead, back, and behind: nothing hangs, and nothing that has ended works."""
    assert os.path.exists(FAKETIME), "apt-get install faketime"
    seed = seed_of()
    clock = str(tmp_path / "clock")
    set_clock(clock, 0)
    programs_with_a_clock(str(tmp_path / "programs"), clock)
    monkeypatch.setattr(conftest, "AEGIS", str(tmp_path / "programs" / "aegis"))
    fleet = fresh_fleet()
    draw = random.Random(seed)
    with Load(fleet, seed) as load:
        for seconds in [300, 0, -300, 0] + [draw.randrange(-300, 300) for _ in range(4 * ROUNDS)]:
            set_clock(clock, seconds)
            load.more(30, "answers at %+d s" % seconds)
    newest = max(e["occurred_at"] for e in fleet.all_events())
    ahead = calendar.timegm(time.strptime(newest[:19], "%Y-%m-%dT%H:%M:%S")) - time.time()
    assert ahead > 60, "the clock was never set: %r" % newest
    load.check()


# --------------------------------------------------------------------- disk

@pytest.fixture
def small_disk(tmp_path):
    place = str(tmp_path / "disk")
    os.mkdir(place)
    run("mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", place)
    yield place
    run("umount", "-l", place)


def fill(path):
    with open(path, "wb") as out:
        try:
            while True:
                out.write(b"\0" * 65536)
                out.flush()
        except OSError:
            pass


def test_the_disk_is_full(fresh_fleet, small_disk):
    seed = seed_of()
    fleet = fresh_fleet(state=os.path.join(small_disk, "state"))
    ballast = os.path.join(small_disk, "ballast")
    with Load(fleet, seed) as load:
        for _ in range(ROUNDS):
            fill(ballast)
            before = sum(1 for c in load.all for a in list(c.answers) if a.status >= 500)
            try:
                wait_for(lambda: sum(1 for c in load.all for a in list(c.answers) if a.status >= 500) >
                                before + 20, 40, 0.1, "refusals for want of room")
            finally:
                os.unlink(ballast)
            load.more(20, "answers with room again", 60)
    load.check()


# ----------------------------------------------------------------- the runbook

def page(title):
    return next(s for s in sections() if s.title == title)


def test_the_runbook_of_a_full_disk(small_disk, fresh_fleet, tmp_path):
    ballast = os.path.join(small_disk, "ballast")
    fleet = fresh_fleet(state=os.path.join(small_disk, "state"))
    game = Game(fleet, tmp_path, words={"fill": lambda: fill(ballast)}, env={"BALLAST": ballast})
    game.play(sections()[0])
    game.play(page("The disk is full"))


def test_the_runbook_of_a_wrong_clock(fresh_fleet, tmp_path, monkeypatch):
    clock = str(tmp_path / "clock")
    set_clock(clock, 0)
    programs_with_a_clock(str(tmp_path / "programs"), clock)
    monkeypatch.setattr(conftest, "AEGIS", str(tmp_path / "programs" / "aegis"))
    game = Game(fresh_fleet(), tmp_path, words={"clock": lambda seconds: set_clock(clock, int(seconds))})
    game.play(sections()[0])
    game.play(page("The clock is wrong"))

# SPDX-License-Identifier: Apache-2.0
"""The runbook of docs/operations.md, followed verbatim (X12). What needs root is
played by make chaos (chaos_machine.py)."""
import http.server
import os
import signal
import threading

import pytest

from conftest import CONFIG, Fleet, wait_for
from game_day import Game, matches, sections, steps
from servers import Postgres, Redis, free_port
from test_sink_kafka import Mock

PASSWORD = "a password of the game"
NEEDS_ROOT = {"The disk is full", "The clock is wrong"}
SECTIONS = sections()


class Pager:
    """A webhook that takes what comes, or refuses it."""

    def __init__(self):
        pager = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(pager.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.status = 200
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/" % self.server.server_port

    def order(self, word):
        self.status = {"refuses": 400, "takes": 200}[word]

    def leave(self):
        self.server.shutdown()
        self.server.server_close()


class Database:
    """url also names where the replica will be, that takes the primary's place."""

    def __init__(self):
        self.server, self.gone, self.later = Postgres(PASSWORD).start(), None, free_port()
        self.url = self.server.url.replace("/postgres", ",127.0.0.1:%d/postgres" % self.later)
        self.orders = {"stop": lambda: self.server.kill(), "start": lambda: self.server.start(),
                       "lose": self.lose, "promote": lambda: self.server.run("SELECT pg_promote(true)"),
                       "pause": lambda: self.signal(signal.SIGSTOP), "go-on": lambda: self.signal(signal.SIGCONT)}
        self.stopped = []

    def lose(self):
        replica = Postgres(PASSWORD, of=self.server)
        replica.port = self.later
        self.server.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.server.run("SELECT pg_reload_conf()")
        replica.start()
        wait_for(lambda: self.server.rows("SELECT sync_state FROM pg_stat_replication") == [["sync"]], 60,
                 what="the replica to follow")
        self.server.kill()
        self.server, self.gone = replica, self.server

    def leave(self):
        self.signal(signal.SIGCONT)
        for server in (self.server, self.gone):
            if server is not None:
                server.leave()

    def signal(self, number):
        if number == signal.SIGSTOP:
            self.stopped = self.server.processes()
        for pid in self.stopped:
            os.kill(pid, number)
        if number == signal.SIGCONT:
            self.stopped = []

    def order(self, word):
        self.orders[word]()


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    folder = tmp_path_factory.mktemp("game")
    database, mock, pager, redis, fleet = Database(), Mock("aegis.audit"), Pager(), Redis(PASSWORD).start(), None
    try:
        for name in ("password", "pager.key"):
            (folder / name).write_text(PASSWORD * 2 if name == "pager.key" else PASSWORD)
            (folder / name).chmod(0o600)
        fleet = Fleet(config=dict(
            CONFIG, journal={"kind": "postgres", "postgres": {"url": database.url,
                                                              "password_file": str(folder / "password")}},
            shared={"enabled": True, "redis": redis.url, "password_file": redis.secret, "timeout_ms": 1000},
            sinks=CONFIG["sinks"] + [
                {"name": "bus", "kind": "kafka", "brokers": mock.brokers.split(","), "retry_max_s": 1},
                {"name": "pager", "kind": "webhook", "url": pager.url, "key_file": str(folder / "pager.key"),
                 "retry_max_s": 1, "attempts": 1}])).start()
        made = Game(fleet, folder, {"postgres": database.order, "kafka": mock.order, "pager": pager.order,
                                     "redis": lambda word: {"stop": redis.kill, "start": redis.start}[word]()})
        made.play(SECTIONS[0])
        yield made
    finally:
        if fleet is not None:
            fleet.leave()
        pager.leave()
        mock.stop()
        redis.leave()
        database.leave()


@pytest.mark.parametrize("section", [s for s in SECTIONS[1:] if s.title not in NEEDS_ROOT], ids=repr)
def test_the_runbook(game, section):
    assert any(kind == "console" for kind, _ in section.blocks)
    game.play(section)


def test_every_failure_is_played_somewhere():
    assert NEEDS_ROOT < set(s.title for s in SECTIONS) and len(SECTIONS) > 10


def test_the_player_can_lose():
    """What is not said, or in another order, or besides what was wanted on a line, is not what the page says."""
    said = ["iam  iam  17  ready  3s  1", "keys.0  keys  18  ready  3s  1"]
    assert matches(["keys.0 keys … ready … 1"], said) and matches(["…", "iam …", "keys.0 …"], said)
    assert not matches(["keys.0 … ready … 0"], said)
    assert not matches(["keys.0 …", "iam …"], said)
    assert not matches(["ready"], said)
    assert not matches(["anything"], [])
    assert steps("$ a b\nc\n[7]\n$ d\n") == [["a b", ["c"], 7], ["d", [], 0]]

# SPDX-License-Identifier: Apache-2.0
"""Processes are killed and stopped, and connections break, while clients work on the same keys: whatever they were
told can have happened in some order, every answer has its event, and the log verifies. `make chaos` has more of it."""
import os
import random
import signal
import socket
import threading
import time

from chaos import Load, seed_of
from conftest import wait_for

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
KINDS = ("audit", "journal", "broker", "keys.0", "iam", "software", "rest", "risk", "inventory", "responder", "anomaly",
         "history", "topics")
STOPPED = ("audit", "journal", "iam", "keys.0", "software", "risk", "broker")


def kill(fleet, name):
    pid = fleet.processes().get(name)
    if not pid:
        return
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: fleet.processes().get(name) not in (0, None, pid), 30, 0.05, "another " + name)


def stand_still(fleet, name, seconds):
    pid = fleet.processes().get(name)
    if not pid:
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # the supervisor had enough of it


def test_processes_die_and_stand_still(fresh_fleet):
    seed = seed_of()
    draw = random.Random(seed)
    fleet = fresh_fleet()
    with Load(fleet, seed) as load:
        for _ in range(ROUNDS):
            acts = [("kill", name) for name in KINDS] + [("stop", name) for name in draw.sample(STOPPED, 3)]
            draw.shuffle(acts)
            for act, name in acts:
                if act == "kill":
                    kill(fleet, name)
                else:
                    stand_still(fleet, name, draw.uniform(0.1, 0.8))
                load.more(5, "answers after %s of %s" % (act, name))
        load.more(20, "answers in peace")
    assert any(c.lost for c in load.all) or any(a.status >= 500 for c in load.all for a in c.answers), "nothing was hit"
    load.check()


class Proxy(threading.Thread):
    """Between clients and plane: passes bytes on late, and now and then cuts a connection in the middle."""

    def __init__(self, target, draw, delay_s, cut):
        super().__init__(daemon=True)
        self.target, self.random, self.delay_s, self.cut, self.cuts = target, draw, delay_s, cut, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                time.sleep(self.random.uniform(0, self.delay_s))
                if self.random.random() < self.cut:
                    self.cuts += 1
                    sink.sendall(data[:self.random.randrange(len(data))])
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
                plane = socket.create_connection(self.target)
            except OSError:
                return
            for pair in ((client, plane), (plane, client)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()


def test_connections_are_slow_and_break(fresh_fleet):
    seed = seed_of()
    fleet = fresh_fleet()
    host, port = fleet.url.split("//")[1].rsplit(":", 1)
    proxy = Proxy((host, int(port)), random.Random(seed), 0.02, 0.02)
    proxy.start()
    with Load(fleet, seed, url=proxy.url) as load:
        wait_for(lambda: proxy.cuts >= 10 * ROUNDS, 60, 0.05, "cut connections")
        load.more(20, "answers nevertheless")
    proxy.listener.close()
    assert sum(c.lost for c in load.all) > 0
    load.check()

# SPDX-License-Identifier: Apache-2.0
"""The examples, as a user would build and run them: against an installed
package, joined to a running fleet by `aegis actor enroll`."""
import json
import os
import shutil
import signal
import subprocess

import pytest

from conftest import BUILD, ROOT, b64, wait_for


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The examples' folder, built with nothing but what `meson install` put down."""
    base = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", str(base)], check=True,
                   stdout=subprocess.DEVNULL)
    found = [os.path.join(d, "aegis-actor.pc") for d, _, names in os.walk(str(base)) if "aegis-actor.pc" in names]
    assert len(found) == 1, "pkg-config's file is installed"
    libs = os.path.dirname(os.path.dirname(found[0]))
    work = tmp_path_factory.mktemp("examples")
    for name in ("counter.c", "Makefile", "subscribe.py"):
        shutil.copy(os.path.join(ROOT, "examples", name), str(work))
    prefix = next(line.strip()[len("prefix="):] for line in open(found[0]) if line.startswith("prefix="))
    env = dict(os.environ, PKG_CONFIG="pkg-config --define-variable=prefix=" + str(base) + prefix,
               PKG_CONFIG_PATH=os.path.dirname(found[0]))
    done = subprocess.run(["make", "-C", str(work), "LDFLAGS=-Wl,-rpath," + libs], env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr
    return str(work)


def enroll(fleet, name, role, where):
    path = os.path.join(where, name + ".actor")
    fleet.run("actor", "enroll", name, "--role", role, "--out", path, check=0)
    assert os.stat(path).st_mode & 0o777 == 0o600
    return path


class Running:
    def __init__(self, words, where):
        self.out = os.path.join(where, "out-%d" % id(self))
        self.process = subprocess.Popen(words, stdout=open(self.out, "wb"), stderr=subprocess.STDOUT)

    def lines(self):
        return open(self.out, errors="replace").read().splitlines()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def test_counter_counts_refusals(fleet, admin, examples, unique, tmp_path):
    alias = unique("k")
    fleet.key(admin, alias)
    agent = fleet.agent(admin, ["key:%s:sign" % alias])
    path = enroll(fleet, unique("counter"), "actor", str(tmp_path))
    counter = Running([os.path.join(examples, "counter"), path], str(tmp_path))
    try:
        body = {"message_b64": b64(b"x")}
        assert agent.post("/v1/keys/%s/sign" % unique("other"), body).status == 403

        def counted():
            said = [json.loads(line) for line in counter.lines() if line.startswith("{")]
            return [s for s in said if s["event"] == "REFUSED" and agent.id in s["message"]]
        found = wait_for(counted, what="the count")
        assert "reason=scope_missing" in found[0]["message"] and "count=1" in found[0]["message"]
    finally:
        assert counter.stop() == 0


def test_counter_refuses_an_open_file(examples, tmp_path):
    path = str(tmp_path / "open.actor")
    open(path, "w").close()
    os.chmod(path, 0o644)
    done = subprocess.run([os.path.join(examples, "counter"), path], capture_output=True, text=True)
    assert done.returncode == 2 and "chmod 600" in done.stderr


def test_subscriber_sees_every_event(fleet, admin, examples, unique, tmp_path):
    path = enroll(fleet, unique("watcher"), "subscriber", str(tmp_path))
    for _ in range(5):
        admin.ok("GET", "/v1/whoami")
    known = fleet.events(admin)
    watcher = Running([os.path.join(examples, "subscribe.py"), path, "--json"], str(tmp_path))
    try:
        def caught_up():
            seen = [json.loads(line)["event_id"] for line in watcher.lines() if line.startswith("{")]
            return seen if known[-1]["event_id"] in seen else None
        seen = wait_for(caught_up, what="the log")
        assert set(e["event_id"] for e in known) <= set(seen)
        assert not [line for line in watcher.lines() if line.startswith("gap")]
        # And what comes later.
        got = admin.get("/v1/whoami")
        wait_for(lambda: [line for line in watcher.lines() if got.headers["x-request-id"] in line],
                 what="a new event")
    finally:
        watcher.stop()


def test_subscriber_by_topics(fleet, admin, examples, tmp_path):
    watcher = Running([os.path.join(examples, "subscribe.py"), "--topics", fleet.endpoints["topics"],
                       "--prefix", "audit.default."], str(tmp_path))
    try:
        def heard():
            admin.ok("GET", "/v1/whoami")
            return [line for line in watcher.lines() if "principal.whoami" in line]
        wait_for(heard, what="a topic")
    finally:
        watcher.stop()


def test_subscriber_key_is_its_own(fleet, admin, examples, unique, tmp_path):
    """A second enrolment under the same name makes the first key worthless."""
    name = unique("twice")
    first = enroll(fleet, name, "subscriber", str(tmp_path))
    os.rename(first, first + ".old")
    second = enroll(fleet, name, "subscriber", str(tmp_path))
    old = Running([os.path.join(examples, "subscribe.py"), first + ".old", "--count", "1"], str(tmp_path))
    new = Running([os.path.join(examples, "subscribe.py"), second, "--count", "1"], str(tmp_path))
    try:
        wait_for(lambda: new.process.poll() == 0, what="the new key")
        assert old.process.poll() is None and old.lines() == []
    finally:
        old.stop()
        new.stop()

# SPDX-License-Identifier: Apache-2.0
"""What keeps a fleet: the master key and its passphrase."""
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from conftest import AEGIS, wait_for

PASSPHRASE = "a long way to tipperary"


@pytest.fixture
def words(tmp_path):
    """Passphrase files: words("text") is a 0600 file with it."""
    def make(text, mode=0o600):
        path = tmp_path / ("words-%d" % len(list(tmp_path.iterdir())))
        path.write_text(text + "\n")
        path.chmod(mode)
        return str(path)
    return make


@pytest.fixture
def locked(fresh_fleet, words):
    """A fleet whose master key is under a passphrase from its first start."""
    file = words(PASSPHRASE)
    fleet = fresh_fleet(start=False)
    fleet.options = ["--passphrase-file", file]
    fleet.start()
    return fleet


def master_of(fleet):
    return open(os.path.join(fleet.state, "rot", "master.key"), "rb").read()


def tree(state):
    """Every file with its bytes, but the lock's and run/."""
    found = {}
    for folder, _, names in os.walk(state):
        for name in names:
            path = os.path.join(folder, name)
            if "/run" not in folder and name != "lock" and os.path.isfile(path):
                found[path] = open(path, "rb").read()
    return found


def up(fleet, *options, stdin=None, **kw):
    """aegis up that is expected to end by itself."""
    return subprocess.run([AEGIS, "up", "--state", fleet.state, "--config", fleet.config_file, "--listen",
                           "127.0.0.1:0", *options], input=stdin, capture_output=True, text=True, timeout=60, **kw)


# ------------------------------------------------------------------ R05: a passphrase

def test_key_under_a_passphrase(locked, words):
    fleet = locked
    assert master_of(fleet).startswith(b"AEGISMK1")
    key = fleet.key(fleet.admin(), spec="AES_256")["id"]
    sealed = fleet.admin().ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": "aGVsbG8="})
    # A restarted root of trust needs nobody to type it again.
    os.kill(fleet.processes()["software"], signal.SIGKILL)
    wait_for(lambda: fleet.admin().get("/healthz/ready").status == 200, what="a root of trust again")
    wait_for(lambda: fleet.admin().post("/v1/keys", {"key_spec": "AES_256"}).status == 201, what="a new key")
    fleet.stop()
    before = tree(fleet.state)
    wrong = up(fleet, "--passphrase-file", words("not this one"))
    assert wrong.returncode == 3 and "not the one" in wrong.stderr
    assert tree(fleet.state) == before, "a wrong passphrase changes nothing"
    # No terminal, no file: says what is missing.
    none = up(fleet, stdin="", start_new_session=True)
    assert none.returncode == 2 and "--passphrase-file" in none.stderr
    lax = up(fleet, "--passphrase-file", words(PASSPHRASE, mode=0o644))
    assert lax.returncode == 2 and "chmod 600" in lax.stderr
    assert tree(fleet.state) == before
    fleet.start()
    opened = fleet.admin().ok("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": sealed["ciphertext_b64"]})
    assert opened["plaintext_b64"] == "aGVsbG8="


def test_passphrase_is_nowhere_to_be_read(locked):
    fleet = locked
    pids = list(fleet.processes().values()) + [fleet.process.pid]
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert PASSPHRASE.encode() not in open("/proc/%d/%s" % (pid, name), "rb").read()
    for path, data in tree(fleet.state).items():
        assert PASSPHRASE.encode() not in data, path
    assert PASSPHRASE not in fleet.tail(100000)


def test_change_and_remove_the_passphrase(locked, words):
    fleet, old, new = locked, locked.options[1], words("another way to tipperary")
    key = fleet.key(fleet.admin(), spec="AES_256")["id"]
    running = fleet.run("rot", "passphrase", "--passphrase-file", old, "--new-passphrase-file", new)
    assert running.returncode == 6 and "aegis down" in running.stderr
    fleet.stop()
    before = master_of(fleet)
    fleet.run("rot", "passphrase", "--passphrase-file", new, "--new-passphrase-file", new, check=3)
    fleet.run("rot", "passphrase", "--passphrase-file", old, "--new-passphrase-file", words("short"), check=2)
    assert master_of(fleet) == before
    fleet.run("rot", "passphrase", "--passphrase-file", old, "--new-passphrase-file", new, check=0)
    assert up(fleet, "--passphrase-file", old).returncode == 3
    fleet.run("rot", "passphrase", "--passphrase-file", new, "--remove", check=0)
    assert len(master_of(fleet)) == 32
    assert sorted(os.listdir(os.path.join(fleet.state, "rot"))) == ["blobs", "master.key", "wrapping.keys"]
    fleet.options = []
    fleet.start()
    assert fleet.admin().post("/v1/keys/%s/encrypt" % key, {"plaintext_b64": ""}).status == 200


def test_an_open_key_is_not_taken_for_a_locked_one(fresh_fleet, words):
    fleet = fresh_fleet()
    fleet.stop()
    given = up(fleet, "--passphrase-file", words(PASSPHRASE))
    assert given.returncode == 6 and "aegis rot passphrase" in given.stderr
    fleet.configure({"rot": {"software": {"passphrase": True}}})
    wanted = up(fleet)
    assert wanted.returncode == 6 and "rot.software.passphrase" in wanted.stderr


def typed(fleet, answers, until):
    """aegis up on a terminal of its own; types each answer when asked. What it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(AEGIS, [AEGIS, "up", "--state", fleet.state, "--config", fleet.config_file, "--listen",
                         "127.0.0.1:0"])
    said, end = b"", time.monotonic() + 60
    try:
        while time.monotonic() < end and until not in said:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    said += os.read(terminal, 4096)
                except OSError:
                    break
            if answers and said.rstrip(b" ").endswith(answers[0][0]):
                os.write(terminal, answers.pop(0)[1] + b"\n")
    finally:
        fleet.run("down")
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        for _ in range(1000):
            try:
                said += os.read(terminal, 4096)
            except OSError:
                break
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
    return status, said


def test_typed_on_a_terminal(fresh_fleet):
    fleet = fresh_fleet({"rot": {"software": {"passphrase": True}}}, start=False)
    ask, new, again = b"passphrase of the master key:", b"new passphrase of the master key:", b"the same again:"
    word = PASSPHRASE.encode()
    status, said = typed(fleet, [(new, word), (again, b"something else")], b"not the same")
    assert status == 2 and not os.path.exists(os.path.join(fleet.state, "rot", "master.key"))
    status, said = typed(fleet, [(new, word), (again, word)], b"ready: ")
    assert status == 0 and b"ready: " in said and word not in said, "nothing is echoed"
    assert master_of(fleet).startswith(b"AEGISMK1")
    status, said = typed(fleet, [(ask, b"wrong")], b"not the one")
    assert status == 3
    status, said = typed(fleet, [(ask, word)], b"ready: ")
    assert status == 0 and b"ready: " in said and word not in said

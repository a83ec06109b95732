# SPDX-License-Identifier: Apache-2.0
"""What keeps a fleet: the master key, its passphrase, its successor."""
import glob
import json
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import threading
import time
import zlib

import pytest

from conftest import AEGIS, Fleet, wait_for

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


# ------------------------------------------------------------------ R13: rekey

KEYS = 10000


def wrapped_keys(fleet):
    """Slots of wrapping.keys that are in use."""
    data = open(os.path.join(fleet.state, "rot", "wrapping.keys"), "rb").read()
    return sum(data[i] == 1 for i in range(64, len(data), 64))


@pytest.fixture(scope="module")
def many():
    """A fleet with ten thousand wrapped keys; what each encrypts is kept for later."""
    fleet = Fleet()
    try:
        fleet.start()
        yield fleet, make_keys(fleet, KEYS)
    finally:
        fleet.leave()


def make_keys(fleet, count, hands=8):
    """id → ciphertext of "hello"."""
    made, lock = {}, threading.Lock()

    def hand(n):
        client = fleet.admin()
        for _ in range(n):
            key = client.ok("POST", "/v1/keys", {"key_spec": "AES_256", "activate": True})["id"]
            with lock:
                made[key] = None
    threads = [threading.Thread(target=hand, args=(count // hands,)) for _ in range(hands)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(made) == count
    client = fleet.admin()
    for key in list(made)[::50]:
        made[key] = client.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": "aGVsbG8="})["ciphertext_b64"]
    return made


def all_usable(fleet, keys):
    client = fleet.admin()
    for key, ciphertext in keys.items():
        if ciphertext is None:
            continue
        got = client.ok("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": ciphertext})
        assert got["plaintext_b64"] == "aGVsbG8="


class Use:
    """Clients that create, use and destroy keys until they are stopped; what failed is kept."""

    def __init__(self, fleet, keys):
        self.fleet, self.keys, self.failed, self.done, self.stopped = fleet, list(keys), [], 0, False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(3)]

    def run(self, seed):
        client, random_ = self.fleet.admin(), random.Random(seed)
        while not self.stopped:
            key = random_.choice(self.keys)
            for method, path, body in (
                    ("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": "aGVsbG8="}),
                    ("POST", "/v1/keys", {"key_spec": "AES_256"})):
                got = client.request(method, path, body)
                self.done += 1
                if got.status not in (200, 201):
                    self.failed.append(got)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        for t in self.threads:
            t.join()


def rekeys(fleet):
    return [e for e in everything(fleet) if e["operation"] == "rot.rekey"]


def everything(fleet):
    return [json.loads(line) for line in open(os.path.join(fleet.state, "everything.jsonl"))]


def test_rekey_online(many):
    fleet, keys = many
    before, slots = master_of(fleet), wrapped_keys(fleet)
    assert slots >= KEYS
    with Use(fleet, keys) as use:
        done = json.loads(fleet.run("rot", "rekey", "--json", check=0).stdout)
    assert use.failed == [] and use.done > 0
    assert done["rewrapped"] >= slots
    assert master_of(fleet) != before
    assert not glob.glob(os.path.join(fleet.state, "rot", "*.old"))
    assert not glob.glob(os.path.join(fleet.state, "rot", "*.next"))
    event = wait_for(lambda: rekeys(fleet), what="the event")[0]
    assert event["outcome"] == "allowed" and int(event["params"]["keys"]) >= slots
    fleet.stop()
    fleet.start()
    all_usable(fleet, keys)


def test_rekey_survives_kill(many):
    """kill -9 of the root of trust in the middle: it serves, and the rest is resumed."""
    fleet, keys = many
    before, events = master_of(fleet), len(rekeys(fleet))
    half = os.path.join(fleet.state, "rot", "master.key.next")
    for _ in range(20):
        command = subprocess.Popen([AEGIS, "rot", "rekey", "--state", fleet.state], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        wait_for(lambda: os.path.exists(half) or command.poll() is not None, every_s=0.001, what="a rekey")
        os.kill(fleet.processes()["software"], signal.SIGKILL)
        said = command.communicate(timeout=60)
        if os.path.exists(half):
            break
        before = master_of(fleet)  # it was faster than the signal
    assert os.path.exists(half) and command.returncode == 8 and "--resume" in said[1]
    assert master_of(fleet) == before
    wait_for(lambda: fleet.run("rot", "rekey").returncode == 6, what="the root of trust to come back")
    assert "--resume" in fleet.run("rot", "rekey", check=6).stderr
    all_usable(fleet, keys)
    with Use(fleet, keys) as use:
        fleet.run("rot", "rekey", "--resume", check=0)
    assert use.failed == []
    assert master_of(fleet) != before and not os.path.exists(half)
    assert len(wait_for(lambda: len(rekeys(fleet)) > events and rekeys(fleet), what="the event")) > events
    assert fleet.run("rot", "rekey", "--resume").returncode == 6
    fleet.stop()
    fleet.start()
    all_usable(fleet, keys)


def test_rekey_under_a_passphrase(locked):
    fleet = locked
    key = fleet.key(fleet.admin(), spec="AES_256")["id"]
    before = master_of(fleet)
    fleet.run("rot", "rekey", check=0)
    assert master_of(fleet).startswith(b"AEGISMK1") and master_of(fleet) != before
    fleet.stop()
    assert fleet.run("rot", "rekey").returncode == 7, "no fleet runs"
    fleet.start()
    assert fleet.admin().post("/v1/keys/%s/encrypt" % key, {"plaintext_b64": ""}).status == 200


# ------------------------------------------------------------------ R16: backup, verify, restore

@pytest.fixture
def kept(fresh_fleet, tmp_path):
    """A fleet with some history, and its admin's token (which is not in a backup)."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    keys = {}
    for i in range(20):
        key = fleet.key(admin, spec="AES_256", alias="secretive-%d" % i)["id"]
        keys[key] = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": "aGVsbG8="})["ciphertext_b64"]
    destroyed = fleet.key(admin, spec="AES_256", alias="secretive-gone")["id"]
    admin.ok("POST", "/v1/keys/%s/deactivate" % destroyed, {"reason": "test"})
    fleet.kept, fleet.kept_token = keys, fleet.token()
    key = tmp_path / "escrow.key"
    key.write_bytes(master_of(fleet))
    key.chmod(0o600)
    fleet.escrow = str(key)
    return fleet


def restored(fleet, fresh_fleet, file, *options):
    """A new fleet out of a backup; the state hash that restore printed."""
    new = fresh_fleet(start=False)
    shutil.rmtree(new.state)
    done = json.loads(new.run("backup", "restore", file, "--master-key", fleet.escrow, "--json", *options,
                              check=0).stdout)
    return new, done["state_hash"]


def test_backup_verify_restore(kept, fresh_fleet, tmp_path):
    fleet, file = kept, str(tmp_path / "b.aegis")
    made = json.loads(fleet.run("backup", "create", "--out", file, "--json", check=0).stdout)
    assert os.stat(file).st_mode & 0o7777 == 0o600 and not os.path.exists(file + ".new")
    assert made["state_hash"] == fleet.run("journal", "hash", check=0).stdout.strip()
    verified = json.loads(fleet.run("backup", "verify", file, "--json", check=0).stdout)
    assert verified == made
    before = fleet.client(fleet.kept_token).items("/v1/keys")
    events = len(everything(fleet))
    fleet.stop()
    shutil.rmtree(fleet.state)  # the disaster
    os.makedirs(fleet.state)
    new, state = restored(fleet, fresh_fleet, file)
    assert state == made["state_hash"] == new.run("journal", "hash", check=0).stdout.strip()
    log = new.run("audit", "verify", "--dir", new.state + "/audit", "--public-key",
                  new.state + "/audit/public-key.pem", check=0).stdout
    assert "events verified" in log and events > 20
    new.start()
    client = new.client(fleet.kept_token)
    assert client.items("/v1/keys") == before
    all_usable_with(client, fleet.kept)
    assert client.post("/v1/keys", {"key_spec": "AES_256", "alias": "secretive-1"}).status == 409, "names are kept"
    assert client.post("/v1/keys", {"key_spec": "AES_256", "alias": "new"}).status == 201
    new.stop()
    new.start()
    all_usable_with(new.client(fleet.kept_token), fleet.kept)


def all_usable_with(client, keys):
    for key, ciphertext in keys.items():
        got = client.ok("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": ciphertext})
        assert got["plaintext_b64"] == "aGVsbG8="


def test_backup_under_load_is_consistent(kept, fresh_fleet, tmp_path):
    fleet, file = kept, str(tmp_path / "b.aegis")
    with Use(fleet, fleet.kept) as use:
        wait_for(lambda: use.done > 50, what="load")
        made = json.loads(fleet.run("backup", "create", "--out", file, "--json", check=0).stdout)
    assert use.failed == []
    new, state = restored(fleet, fresh_fleet, file)
    assert state == made["state_hash"]
    new.start()
    client = new.client(fleet.kept_token)
    all_usable_with(client, fleet.kept)
    # Every key that the copy knows has its material.
    for key in client.items("/v1/keys"):
        if key["state"] == "PreActive":
            client.ok("POST", "/v1/keys/%s/activate" % key["id"])
            client.ok("POST", "/v1/keys/%s/encrypt" % key["id"], {"plaintext_b64": ""})


def test_backup_shows_nothing(kept, tmp_path):
    fleet, file = kept, str(tmp_path / "b.aegis")
    fleet.run("backup", "create", "--out", file, check=0)
    data = open(file, "rb").read()
    for word in (b"secretive", b"default", b"admin", b"journal", b"key_", b"hum_", b"aegis audit", master_of(fleet),
                 master_of(fleet)[:8]):
        assert word not in data[8:], word
    # Sealed bytes do not shrink: there is no pattern in them.
    assert len(zlib.compress(data, 9)) > 0.99 * len(data)


def test_backup_of_another_root_of_trust(kept, fresh_fleet, tmp_path):
    fleet, file = kept, str(tmp_path / "b.aegis")
    fleet.run("backup", "create", "--out", file, check=0)
    other = fresh_fleet()
    refused = other.run("backup", "verify", file, check=6)
    assert "RootOfTrustMismatch" in refused.stderr
    wrong = os.path.join(other.state, "rot", "master.key")
    target = str(tmp_path / "new")
    refused = other.run("backup", "restore", file, "--master-key", wrong, "--state", target, check=6)
    assert "RootOfTrustMismatch" in refused.stderr and not os.path.exists(target)
    assert not os.path.exists(target + ".restoring")


def test_restore_only_into_nothing(kept, tmp_path):
    fleet, file = kept, str(tmp_path / "b.aegis")
    fleet.run("backup", "create", "--out", file, check=0)
    assert "exists" in fleet.run("backup", "create", "--out", file, check=6).stderr
    target = tmp_path / "new"
    target.mkdir()
    (target / "mine").write_text("precious")
    fleet.run("backup", "restore", file, "--master-key", fleet.escrow, "--state", str(target), check=6)
    assert (target / "mine").read_text() == "precious" and len(list(target.iterdir())) == 1
    fleet.run("backup", "restore", file, "--master-key", fleet.escrow, "--state", fleet.state, check=6)
    (target / "mine").unlink()
    fleet.run("backup", "restore", file, "--master-key", fleet.escrow, "--state", str(target), check=0)


def test_damaged_backup(kept, tmp_path):
    """A bit that flipped anywhere, a cut at any place, something behind it: refused, nothing left."""
    fleet, file = kept, str(tmp_path / "b.aegis")
    fleet.run("backup", "create", "--out", file, check=0)
    data, bad, target = open(file, "rb").read(), tmp_path / "bad", str(tmp_path / "new")
    size, r = len(data), random.Random(7)
    cases = [data[:n] for n in (0, 8, 100, 249, 250, 254, size // 2, size - 1)] + [data + b"x"]
    for at in [9, 20, 50, 70, 240, 250, 253, size - 1] + [r.randrange(size) for _ in range(8)]:
        cases.append(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    for case in cases:
        bad.write_bytes(case)
        done = fleet.run("backup", "restore", str(bad), "--master-key", fleet.escrow, "--state", target)
        assert done.returncode in (1, 2, 6), done
        assert not os.path.exists(target) and not os.path.exists(target + ".restoring")


def test_recovery_passphrase(kept, words, tmp_path):
    fleet, file, recovery = kept, str(tmp_path / "b.aegis"), words("when all else is lost")
    fleet.run("backup", "create", "--out", file, "--recovery-passphrase-file", recovery, check=0)
    nowhere = ("--state", str(tmp_path / "nowhere"))
    fleet.run("backup", "verify", file, "--recovery-passphrase-file", recovery, *nowhere, check=0)
    fleet.run("backup", "verify", file, "--recovery-passphrase-file", words("not this one"), *nowhere, check=3)
    fleet.run("backup", "verify", file, *nowhere, check=4)
    fleet.run("backup", "verify", file, "--master-key", fleet.escrow, *nowhere, check=0)


def test_killed_backup_leaves_nothing_half(kept, tmp_path):
    fleet, file, target = kept, str(tmp_path / "b.aegis"), str(tmp_path / "new")

    def killed(after_s, *more):
        command = subprocess.Popen([AEGIS, *more, "--state", target if more[1] == "restore" else fleet.state],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            command.wait(after_s)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
    for ms in (1, 3, 5, 8, 12, 20, 30):
        killed(ms / 1000, "backup", "create", "--out", file)
        if os.path.exists(file):
            fleet.run("backup", "verify", file, check=0)
            os.unlink(file)
    fleet.run("backup", "create", "--out", file, check=0)
    for ms in (1, 3, 5, 8, 12, 20, 30, 50):
        killed(ms / 1000, "backup", "restore", file, "--master-key", fleet.escrow)
        if os.path.exists(target):
            assert fleet.run("journal", "hash", "--state", target, check=0).stdout
            shutil.rmtree(target)
    fleet.run("backup", "restore", file, "--master-key", fleet.escrow, "--state", target, check=0)
    assert not os.path.exists(target + ".restoring")

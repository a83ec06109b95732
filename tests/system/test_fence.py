# SPDX-License-Identifier: Apache-2.0
"""process.fence and process.uid_base: what a program can do that has taken the
place of a plane (tests/peers/rogue.c), and that the fleet lacks nothing then."""
import errno
import os
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

import conftest
from conftest import BUILD, CONFIG, SANITIZED, b64, wait_for

pytestmark = pytest.mark.skipif(SANITIZED or "coverage" in os.path.basename(os.path.abspath(BUILD)),
                                reason="an instrumented build has no fence")
FENCED = dict(CONFIG, process={"fence": True})
BASE = 1_000_000_000 + os.getpid() % 40_000 * 20_000  # no other run's
UNHEARD = (errno.ECONNRESET, errno.EPIPE)  # after the question, or before
OWN_UIDS = dict(CONFIG, process={"uid_base": BASE})


def gives_uids():
    """Root, and not of a namespace that has fewer uids."""
    with open("/proc/self/uid_map") as map:
        rows = [[int(n) for n in line.split()] for line in map]
    return os.geteuid() == 0 and any(inside <= BASE and BASE + 20_000 <= inside + count for inside, _, count in rows)


as_root = pytest.mark.skipif(not gives_uids(), reason="only root gives processes uids of their own")


@pytest.fixture
def programs(monkeypatch):
    """A copy of the fleet's programs that every uid may start, wherever the build is."""
    top = tempfile.mkdtemp(prefix="aegis-programs-")
    folder = os.path.join(top, "bin", "programs")
    os.makedirs(folder)
    shutil.copytree(os.path.join(BUILD, "engine"), os.path.join(top, "engine"), symlinks=True,
                    ignore=lambda _, names: [n for n in names if "libaegis-actor.so" not in n or n.endswith(".p")])
    os.symlink(os.path.join(top, "engine"), os.path.join(folder, "engine"))
    for name in os.listdir(BUILD):
        path = os.path.join(BUILD, name)
        if name.startswith("aegis") and os.path.isfile(path) and os.access(path, os.X_OK):
            shutil.copy(path, folder)
    subprocess.run(["chmod", "-R", "a+rX", top], check=True)
    monkeypatch.setattr(conftest, "AEGIS", os.path.join(folder, "aegis"))
    yield folder
    shutil.rmtree(top)


@pytest.fixture
def with_a_rogue(programs):
    """But for the REST plane."""
    shutil.copy(os.path.join(BUILD, "tests", "peers", "rogue"), os.path.join(programs, "aegis-rest"))


def tried(fresh_fleet, config):
    """Each attempt of the rogue: how it ended (errno)."""
    fleet = fresh_fleet(config, start=False)
    with open(fleet.log, "ab") as log:
        fleet.process = subprocess.Popen([conftest.AEGIS, "up", "--state", fleet.state, "--config", fleet.config_file,
                                          "--listen", "127.0.0.1:0"], stdout=log, stderr=log, start_new_session=True)

    def everybody():
        said = fleet.run("status", "--json")
        return said.returncode == 0 and '"rest"' in said.stdout and all(
            pid for name, pid in fleet.processes().items()) and os.path.exists(fleet.state + "/admin.token")
    wait_for(everybody, 60, 0.1, "all to be started")
    pids = fleet.processes()
    targets = ["read " + os.path.join(fleet.state, name) for name in (
        "rot/master.key", "rot/wrapping.keys", "rot/blobs/data.mdb", "journal/data.mdb", "audit/0000000000000001.seg",
        "snapshots/iam/data.mdb", "admin.token", ".", "run/endpoints.json")]
    targets += ["read " + fleet.config_file, "read /etc/shadow", "write " + fleet.state + "/mine",
                "write " + fleet.state + "/rot/master.key", "ask %s/run/control.sock" % fleet.state, "fork -"]
    for name in ("keys.0", "software", "iam"):
        targets += ["%s %d" % (word, pids[name]) for word in ("trace", "memory", "signal")]
    place = os.path.join(fleet.state, "run", "metrics")
    with open(place + "/.new", "w") as out:
        out.write("\n".join(targets) + "\n")
    os.rename(place + "/.new", place + "/.targets")
    wait_for(lambda: os.path.exists(place + "/.done"), 60, 0.05, "the rogue to have tried")
    ends = dict((line.rsplit(" ", 1)[0], int(line.rsplit(" ", 1)[1])) for line in open(place + "/.done"))
    assert set(ends) == set(targets)
    fleet.kill()
    return fleet, ends


def test_what_took_a_planes_place_gets_nowhere(fresh_fleet, with_a_rogue):
    _, ends = tried(fresh_fleet, FENCED)
    worked = [what for what, error in ends.items() if error == 0]
    assert worked == []
    for what, error in ends.items():
        word = what.split()[0]
        assert error in {"read": (errno.EACCES,), "write": (errno.EACCES,), "memory": (errno.EACCES, errno.ENOENT),
                         "ask": UNHEARD}.get(word, (errno.EPERM,)), (what, error)


def test_without_it_the_files_are_there(fresh_fleet, with_a_rogue):
    """The same attempts, to know that they could work."""
    fleet, ends = tried(fresh_fleet, CONFIG)
    assert ends["read %s/rot/master.key" % fleet.state] == 0 and ends["fork -"] == 0
    assert ends["ask %s/run/control.sock" % fleet.state] in UNHEARD, "a plane asks the supervisor for nothing"


def lacks_nothing(fleet, tmp_path):
    admin = fleet.admin()
    fleet.key(admin, "k")
    agent = fleet.agent(admin, ["key:k:sign"])
    agent.ok("POST", "/v1/keys/k/sign", {"message_b64": b64(b"x")})
    assert agent.get("/v1/keys").status == 403
    fleet.run("rot", "rekey", check=0)
    fleet.run("backup", "create", "--out", str(tmp_path / "b"), check=0)
    os.unlink(fleet.state + "/admin.token")
    fleet.run("admin-token", "--out", str(tmp_path / "t"), check=0)
    (tmp_path / "t").rename(fleet.state + "/admin.token")
    for name in ("keys.0", "iam", "journal", "audit", "history", "rest", "broker", "software"):
        before = fleet.processes()[name]
        os.kill(before, 9)
        wait_for(lambda: fleet.processes().get(name, 0) not in (0, before) and
                 fleet.client().get("/healthz/ready").status == 200, 30, 0.1, name + " to be back")
    wait_for(lambda: fleet.admin().post("/v1/keys/k/sign", {"message_b64": b64(b"x")}).status == 200, 30, 0.1, "a signature")
    assert len(fleet.all_events()) > 5
    fleet.stop()
    fleet.start()
    assert fleet.admin().get("/v1/keys/k").json["state"] == "Active"
    for word in ("Permission denied", "JAIL-FAILED", "FENCE"):
        assert word not in open(fleet.log, errors="replace").read()


def test_the_fleet_lacks_nothing(fresh_fleet, tmp_path):
    lacks_nothing(fresh_fleet(FENCED), tmp_path)


# ---- a uid for each process

@as_root
def test_what_took_a_planes_place_is_somebody_else(fresh_fleet, with_a_rogue):
    fleet, ends = tried(fresh_fleet, OWN_UIDS)
    # No fence: it may start programs and read what everybody may.
    worked = [what for what, error in ends.items() if error == 0]
    assert sorted(worked) == sorted(["fork -", "read " + fleet.config_file])
    for what, error in ends.items():
        word = what.split()[0]
        assert what in worked or error in {"read": (errno.EACCES,), "write": (errno.EACCES,), "memory": (errno.EACCES,),
                                           "ask": (errno.EACCES,)}.get(word, (errno.EPERM,)), (what, error)


def who(pid):
    """Its uids, and all groups."""
    words = dict(line.split(":", 1) for line in open("/proc/%d/status" % pid))
    return words["Uid"].split(), set(words["Gid"].split() + words["Groups"].split()), int(words["CapEff"], 16)


@as_root
def test_each_process_is_its_own_uid(fresh_fleet, programs, tmp_path):
    fleet = fresh_fleet(OWN_UIDS)
    seen = {}
    for name, pid in fleet.processes().items():
        uids, groups, capabilities = who(pid)
        assert len(set(uids)) == 1 and int(uids[0]) > BASE and capabilities == 0, name
        assert groups == {str(BASE), uids[0]}, name
        seen[uids[0]] = name
    assert len(seen) == len(fleet.processes()), "none has another's"
    uid_of = dict((name, int(uid)) for uid, name in seen.items())
    for path, owner, mode in (("", 0, 0o1771), ("rot", uid_of["software"], 0o700), ("rot/master.key", uid_of["software"], 0o600),
                              ("journal", uid_of["journal"], 0o700), ("audit", uid_of["audit"], 0o2750),
                              ("snapshots/iam", uid_of["iam"], 0o700), ("admin.token", uid_of["iam"], 0o600),
                              ("everything.jsonl", uid_of["file.everything"], 0o600)):
        found = os.stat(os.path.join(fleet.state, path))
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, mode), path
    assert os.stat(fleet.state + "/audit").st_gid == uid_of["history"], "who reads it, and nobody else"
    lacks_nothing(fleet, tmp_path)
    # Without it all is root's again, and goes on.
    fleet.stop()
    fleet.configure(CONFIG)
    fleet.start()
    assert os.stat(fleet.state).st_mode & 0o7777 == 0o700
    left = [os.path.join(at, name) for at, folders, files in os.walk(fleet.state) for name in folders + files
            if os.lstat(os.path.join(at, name)).st_uid != 0]
    assert left == []
    assert fleet.admin().post("/v1/keys/k/sign", {"message_b64": b64(b"x")}).status == 200


@as_root
def test_a_file_that_a_process_may_not_read_is_named(fresh_fleet, tmp_path, programs):
    subprocess.run([conftest.AEGIS, "tls", "init", "--name", "localhost", "--out", str(tmp_path)], check=True,
                   capture_output=True)
    fleet = fresh_fleet(dict(OWN_UIDS, rest={"tls": {"certificate_file": str(tmp_path / "server.pem"),
                                                     "key_file": str(tmp_path / "server.key")}}), start=False)
    done = fleet.run("up", "--config", fleet.config_file, "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    for key, name in (("certificate_file", "server.pem"), ("key_file", "server.key")):
        assert "%s: rest.tls.%s: rest is uid " % (tmp_path / name, key) in done.stderr, done.stderr
    assert re.search(r"; type: chown %d\d\d\d\d " % (BASE // 10000), done.stderr), done.stderr


@as_root
def test_nothing_is_given_away_while_one_lives(fresh_fleet, programs):
    """A process of these uids could put links where root walks."""
    other = subprocess.Popen(["setpriv", "--reuid", str(BASE + 77), "--clear-groups", "sleep", "600"])
    try:
        wait_for(lambda: who(other.pid)[0][0] == str(BASE + 77), 30, what="it to be that uid")
        fleet = fresh_fleet(OWN_UIDS, start=False)
        done = fleet.run("up", "--config", fleet.config_file, "--listen", "127.0.0.1:0")
        assert done.returncode == 6 and "pid %d is one of these uids" % other.pid in done.stderr, done
        assert os.stat(fleet.state).st_mode & 0o7777 == 0o700
    finally:
        other.kill()
        other.wait(30)


@pytest.mark.parametrize("base", (1, 1000, 65535))
def test_uids_that_are_people(fresh_fleet, base):
    fleet = fresh_fleet(dict(CONFIG, process={"uid_base": base}), start=False)
    done = fleet.run("up", "--config", fleet.config_file, "--listen", "127.0.0.1:0")
    assert done.returncode == 2 and "process.uid_base" in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""process.fence: what a program can do that has taken the place of a plane
(tests/peers/rogue.c), and that the fleet lacks nothing behind it."""
import errno
import os
import shutil
import subprocess

import pytest

import conftest
from conftest import BUILD, CONFIG, SANITIZED, b64, wait_for

pytestmark = pytest.mark.skipif(SANITIZED or "coverage" in os.path.basename(os.path.abspath(BUILD)),
                                reason="an instrumented build has no fence")
FENCED = dict(CONFIG, process={"fence": True})


@pytest.fixture
def with_a_rogue(tmp_path, monkeypatch):
    """The fleet's programs, but for the REST plane."""
    folder = tmp_path / "bin" / "programs"
    folder.mkdir(parents=True)
    os.symlink(os.path.abspath(os.path.join(BUILD, "engine")), tmp_path / "engine")  # where the rogue looks for it
    for name in os.listdir(BUILD):
        path = os.path.abspath(os.path.join(BUILD, name))
        if name == "engine" or (name.startswith("aegis-") and os.path.isfile(path) and os.access(path, os.X_OK)):
            os.symlink(path, folder / name)
    shutil.copy(conftest.AEGIS, folder / "aegis")
    os.unlink(folder / "aegis-rest")
    shutil.copy(os.path.join(BUILD, "tests", "peers", "rogue"), folder / "aegis-rest")
    monkeypatch.setattr(conftest, "AEGIS", str(folder / "aegis"))


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
                         "ask": (errno.ECONNRESET,)}.get(word, (errno.EPERM,)), (what, error)


def test_without_it_the_files_are_there(fresh_fleet, with_a_rogue):
    """The same attempts, to know that they could work."""
    fleet, ends = tried(fresh_fleet, CONFIG)
    assert ends["read %s/rot/master.key" % fleet.state] == 0 and ends["fork -"] == 0
    assert ends["ask %s/run/control.sock" % fleet.state] == errno.ECONNRESET, "a plane asks the supervisor for nothing"


def test_the_fleet_lacks_nothing(fresh_fleet, tmp_path):
    fleet = fresh_fleet(FENCED)
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

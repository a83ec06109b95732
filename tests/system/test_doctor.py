# SPDX-License-Identifier: Apache-2.0
"""aegis doctor: a sound installation is called sound; each thing that is made
wrong is found, with a word to type; `aegis up` says the same words."""
import datetime
import fcntl
import ipaddress
import json
import os
import re
import socket
import struct
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import AEGIS, wait_for

ENV = dict({k: v for k, v in os.environ.items() if not k.startswith("AEGIS_")}, NO_COLOR="1")
NAMES = ["configuration", "open files", "locked memory", "kernel", "state directory", "state version", "leftovers",
         "disk space", "disk sync", "master key", "admin token", "clock", "time sync", "certificate",
         "certificate key", "listener", "processes", "restarts", "server"]


class Patient:
    """A state directory as a fleet leaves it, without a fleet."""

    def __init__(self, tmp_path):
        self.dir = tmp_path / "state"
        (self.dir / "rot").mkdir(parents=True, mode=0o700)
        self.dir.chmod(0o700)
        (self.dir / "VERSION").write_text("0.1.0\n")
        self.put("rot/master.key", b"m" * 32)
        self.put("admin.token", b"a.secret.token")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.listen = "127.0.0.1:%d" % s.getsockname()[1]

    def put(self, name, data, mode=0o600):
        path = self.dir / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def run(self, *words):
        return subprocess.run([AEGIS] + list(words) + ["--state", str(self.dir), "--listen", self.listen],
                              capture_output=True, text=True, env=ENV, timeout=30)

    def doctor(self, *words):
        done = self.run("doctor", "--json", *words)
        return done.returncode, dict((f["name"], f) for f in map(json.loads, done.stdout.splitlines()))

    def found(self, name, *words, status="wrong"):
        """The finding under that name; nothing else is wrong."""
        code, findings = self.doctor(*words)
        finding = findings[name]
        assert finding["status"] == status, finding
        assert [n for n, f in findings.items() if f["status"] == "wrong"] == ([name] if status == "wrong" else [])
        assert code == (1 if status == "wrong" else 0)
        assert finding["type"], finding
        text = self.run("doctor", *words).stdout
        detail = re.sub(r"\d+", r"\\d+", re.escape(finding["detail"]))  # it may hold the time
        assert re.search(r"^%s +%s +%s$\n +type: %s$" % (status, name, detail, re.escape(finding["type"])), text, re.M), text
        return finding["detail"]

    def refused(self, name, *words, code=2):
        """What doctor finds, up says, in the same words, and does not start."""
        detail = self.found(name, *words)
        done = self.run("up", *words)
        assert done.returncode == code and not done.stdout
        assert done.stderr.startswith("aegis: up: %s\n" % detail), done.stderr
        return detail


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path)


def certificate(days=90, begins=-1, names=("127.0.0.1",), key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow() + datetime.timedelta(hours=12)  # no day ends during the test
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    alt = [x509.IPAddress(ipaddress.ip_address(n)) if re.match(r"[0-9.]+$", n) else x509.DNSName(n) for n in names]
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(alt), False).sign(key, hashes.SHA256()))
    return (made.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))


def with_tls(patient, tmp_path, cert, key, mode=0o600):
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "key.pem").chmod(mode)
    config = tmp_path / "c.yaml"
    config.write_text("rest:\n  tls: {certificate_file: %s/cert.pem, key_file: %s/key.pem}\n" % (tmp_path, tmp_path))
    return "--config", str(config)


def test_a_sound_installation(patient):
    code, findings = patient.doctor()
    assert code == 0 and list(findings) == NAMES
    assert not [f for f in findings.values() if f["status"] == "wrong"]
    for name in ("state directory", "state version", "disk space", "disk sync", "master key", "admin token", "clock",
                 "listener", "configuration", "kernel", "locked memory", "open files", "leftovers"):
        assert findings[name]["status"] == "ok", findings[name]
    done = patient.run("doctor")
    assert re.match(r"0 wrong, \d+ odd, \d+ ok$", done.stdout.splitlines()[-1])
    assert "secret" not in done.stdout + done.stderr and "mmmm" not in done.stdout


def test_a_directory_that_others_may_write(patient):
    patient.dir.chmod(0o777)
    assert "others may write to it (mode 777); it must be 0700" in patient.refused("state directory")


def test_a_directory_that_others_may_read(patient):
    patient.dir.chmod(0o755)
    assert "mode 0755" in patient.found("state directory", status="odd")


def test_a_newer_version(patient):
    (patient.dir / "VERSION").write_text("99.0.0\n")
    assert "99.0.0" in patient.refused("state version", code=6)


def test_a_master_key_that_others_may_read(patient):
    (patient.dir / "rot/master.key").chmod(0o644)
    assert "mode 0644" in patient.refused("master key")


def test_a_master_key_that_is_gone(patient):
    (patient.dir / "rot/master.key").unlink()
    patient.put("rot/wrapping.keys", b"x")
    assert "is not there" in patient.refused("master key")


def test_an_admin_token_that_others_may_read(patient):
    (patient.dir / "admin.token").chmod(0o640)
    assert "mode 0640" in patient.found("admin token")


def test_what_a_crash_left(patient):
    (patient.dir / "run").mkdir()
    assert "left by a fleet" in patient.found("leftovers", status="odd")


def test_a_supervisor_that_hangs(patient):
    """Somebody holds the lock and answers nobody."""
    patient.put("lock", b"")
    code = ("import fcntl, struct, sys, time; f = open(sys.argv[1], 'r+');"
            "fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, str(patient.dir / "lock")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        detail = patient.found("leftovers")
        holder.stdin.close()
    assert detail.startswith("pid %d holds the state directory" % holder.pid)


def test_a_port_that_is_taken(patient):
    host, port = patient.listen.split(":")
    with socket.socket() as s:
        s.bind((host, int(port)))
        s.listen()
        detail = patient.found("listener")
        assert detail == "cannot listen on %s: Address already in use" % patient.listen
        done = patient.run("up")
        assert done.returncode == 6 and detail in done.stderr


def test_a_clock_that_was_set_back(patient):
    ahead = datetime.datetime.now().timestamp() + 86400
    os.utime(patient.dir / "VERSION", (ahead, ahead))
    assert "it was set back" in patient.found("clock", status="odd")


def test_a_configuration_with_a_slip(patient, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("environment: dev\nrest: {listne: x}\n")
    detail = patient.found("configuration", "--config", str(config))
    assert detail.startswith("%s:2:" % config) and "listne" in detail
    assert detail in patient.run("up", "--config", str(config)).stderr
    config.write_text("environment: dev\n")
    config.chmod(0o666)
    assert "others may write" in patient.found("configuration", "--config", str(config), status="odd")


def test_too_few_open_files(patient):
    done = subprocess.run(["bash", "-c", "ulimit -n 256; exec \"$0\" doctor --json --state \"$1\"", AEGIS,
                           str(patient.dir)], capture_output=True, text=True, env=ENV)
    finding = [json.loads(n) for n in done.stdout.splitlines()][1]
    assert done.returncode == 1 and finding["status"] == "wrong" and "hard limit is 256" in finding["detail"]


# ---- certificates

def test_a_good_certificate(patient, tmp_path):
    code, findings = patient.doctor(*with_tls(patient, tmp_path, *certificate()))
    assert code == 0 and findings["certificate"]["status"] == findings["certificate key"]["status"] == "ok"
    assert re.match(r"for 127.0.0.1, ends in \d+ days", findings["certificate"]["detail"])


@pytest.mark.parametrize("made,status,says", [
    (dict(days=-2, begins=-9), "wrong", "ended 1 days ago"),
    (dict(begins=3), "wrong", "begins in 3 days"),
    (dict(days=9), "odd", "ends in 9 days"),
    (dict(names=("other.example",)), "odd", "is not for 127.0.0.1"),
])
def test_certificates_that_are_not_good(patient, tmp_path, made, status, says):
    words = with_tls(patient, tmp_path, *certificate(**made))
    assert says in patient.found("certificate", *words, status=status)
    if status == "wrong":
        patient.refused("certificate", *words)


def test_a_certificate_that_is_none(patient, tmp_path):
    words = with_tls(patient, tmp_path, b"nonsense", certificate()[1])
    code, findings = patient.doctor(*words)
    assert code == 1 and "no PEM certificate" in findings["certificate"]["detail"]


def test_keys_of_certificates(patient, tmp_path):
    cert, key = certificate()
    assert "others may read it" in patient.found("certificate key", *with_tls(patient, tmp_path, cert, key, 0o644),
                                                 status="odd")
    other = with_tls(patient, tmp_path, cert, certificate()[1])
    assert "is not the key of" in patient.refused("certificate key", *other)
    (tmp_path / "key.pem").unlink()
    assert "No such file" in patient.refused("certificate key", *other)
    assert "PRIVATE" not in patient.run("doctor", *other).stdout


# ---- a fleet that runs

def test_a_running_fleet_is_well_until_it_is_not(fresh_fleet):
    fleet = fresh_fleet()
    found = dict((f["name"], f) for f in map(json.loads, fleet.run("doctor", "--json", check=0).stdout.splitlines()))
    assert found["processes"]["status"] == found["server"]["status"] == found["restarts"]["status"] == "ok"
    assert found["configuration"]["detail"].startswith(fleet.config_file), "the running fleet's own file"
    assert fleet.url in found["listener"]["detail"] and fleet.token() not in str(found)
    # Where its clients find it, which is not always where it listens: a container, or behind a proxy.
    named = [fleet.run("doctor", "--json", "--server", url) for url in (fleet.url, "http://127.0.0.1:1")]
    shown = [json.loads(done.stdout.splitlines()[-1]) for done in named]
    assert [done.returncode for done in named] == [0, 1]
    assert [row["status"] for row in shown] == ["ok", "wrong"] and "http://127.0.0.1:1" in shown[1]["detail"]
    for _ in range(3):
        pid = fleet.processes()["anomaly"]
        os.kill(pid, 9)
        wait_for(lambda: fleet.processes()["anomaly"] not in (0, pid), 30, what="anomaly to be started again")

    def look():
        return dict((f["name"], f) for f in map(json.loads, fleet.run("doctor", "--json").stdout.splitlines()))
    found = wait_for(lambda: (lambda f: f if f["restarts"]["status"] == "odd" else None)(look()), 30, what="restarts")
    assert "anomaly was started again 3 times" in found["restarts"]["detail"]
    assert "hint: anomaly is " in fleet.run("status", check=0).stderr

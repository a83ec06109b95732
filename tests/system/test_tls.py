# SPDX-License-Identifier: Apache-2.0
"""aegis tls init, and a fleet that speaks TLS with what it made: 1.3 only,
new certificates while it runs, clients with certificates."""
import copy
import datetime
import http.client
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from conftest import AEGIS, CONFIG, wait_for

ENV = dict({k: v for k, v in os.environ.items() if not k.startswith("AEGIS_")}, NO_COLOR="1")


def init(folder, *names, check=0, json_too=()):
    words = [w for name in names for w in ("--name", name)]
    done = subprocess.run([AEGIS, "tls", "init", *words, "--out", str(folder), *json_too], capture_output=True,
                          text=True, env=ENV)
    assert done.returncode == check, done.stderr
    return done


def read(path):
    return x509.load_pem_x509_certificate(open(path, "rb").read())


# ---- the files

def test_what_is_made(tmp_path):
    where = tmp_path / "tls"
    said = init(where, "aegis.example", "*.aegis.example", "127.0.0.1", "::1").stdout
    for name in ("ca.pem", "ca/ca.key", "server.pem", "server.key"):
        assert str(where / name) in said
    for secret in ("ca/ca.key", "server.key"):
        assert stat.S_IMODE((where / secret).stat().st_mode) == 0o600
        assert (where / secret).read_text() not in said
    assert stat.S_IMODE(where.stat().st_mode) == stat.S_IMODE((where / "ca").stat().st_mode) == 0o700
    assert subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", where / "ca.pem",
                           where / "server.pem"], capture_output=True).returncode == 0
    made, ca = read(where / "server.pem"), read(where / "ca.pem")
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["aegis.example", "*.aegis.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey) and made.public_key().curve.name == "secp256r1"
    assert made.not_valid_after - made.not_valid_before == datetime.timedelta(days=397)
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_again_is_the_same_authority(tmp_path):
    init(tmp_path / "t", "a.example")
    ca, first = (tmp_path / "t/ca.pem").read_bytes(), read(tmp_path / "t/server.pem")
    answer = json.loads(init(tmp_path / "t", "a.example", json_too=["--json"]).stdout)
    assert answer["ca_was_there"] is True and answer["certificate_file"] == str(tmp_path / "t/server.pem")
    second = read(tmp_path / "t/server.pem")
    assert (tmp_path / "t/ca.pem").read_bytes() == ca and second.serial_number != first.serial_number
    assert sorted(os.listdir(tmp_path / "t")) == ["ca", "ca.pem", "server.key", "server.pem"]
    (tmp_path / "t/ca/ca.key").unlink()
    assert "put the key back" in init(tmp_path / "t", "a.example", check=6).stderr
    assert read(tmp_path / "t/server.pem").serial_number == second.serial_number
    (tmp_path / "t/ca/ca.key").write_text("nonsense")
    init(tmp_path / "t", "a.example", check=6)


@pytest.mark.parametrize("name", [
    "", "a b", "-a", "a-", "a..b", ".a", "a.", "a,DNS:evil.example", "a\nb", "\x1b[2J", "../etc", "a" * 64, "x." * 130 + "x",
    "*", "a.*", "email:root", "1.2.3.4:8470", "http://a", "ä.example", "a\x7f"])
def test_names_that_are_none(tmp_path, name):
    done = init(tmp_path / "t", "good.example", name, check=2)
    assert done.stderr.startswith("aegis: --name") and "\x1b" not in done.stderr and not done.stdout
    assert done.stderr.count("\n") <= 2 and not (tmp_path / "t").exists()


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    init(tmp_path / "file", "a.example", check=2)
    init(tmp_path / "no/where", "a.example", check=2)


# ---- a fleet with it

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("tls")
    init(where, "localhost", "127.0.0.1")
    return where


@pytest.fixture
def tls_fleet(fresh_fleet, folder, tmp_path):
    """A fleet with copies of those files, which a test may replace."""
    mine = tmp_path / "tls"
    shutil.copytree(folder, mine)
    config = copy.deepcopy(CONFIG)
    config["rest"] = {"tls": {"certificate_file": str(mine / "server.pem"), "key_file": str(mine / "server.key")}}

    def make(**tls):
        config["rest"]["tls"].update(tls)
        fleet = fresh_fleet(config)
        fleet.tls = mine
        fleet.port = int(fleet.url.rsplit(":", 1)[1])
        return fleet
    return make


def context(fleet, **kw):
    made = ssl.create_default_context(cafile=str(fleet.tls / "ca.pem"))
    for name, value in kw.items():
        setattr(made, name, value)
    return made


def serial(fleet):
    """Of the certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", fleet.port), timeout=10) as s:
        with context(fleet).wrap_socket(s, server_hostname="127.0.0.1") as t:
            return x509.load_der_x509_certificate(t.getpeercert(True)).serial_number


def test_the_command_believes_its_authority_only(tls_fleet, tmp_path):
    fleet = tls_fleet()
    ca = str(fleet.tls / "ca.pem")
    assert fleet.url.startswith("https://")
    assert "admin" in fleet.run("whoami", "--ca-file", ca, check=0).stdout
    init(tmp_path / "other", "127.0.0.1")
    refused = fleet.run("whoami", "--ca-file", str(tmp_path / "other/ca.pem"), check=7)
    assert "its certificate is not good" in refused.stderr and "hint: --ca-file" in refused.stderr
    assert fleet.run("whoami", check=7).stderr, "nor one that the machine does not know"
    fleet.run("whoami", "--ca-file", "/dev/null", check=2)
    fleet.run("whoami", "--ca-file", str(tmp_path / "nowhere.pem"), check=2)
    fleet.run("login", "--token-file", os.path.join(fleet.state, "admin.token"), "--ca-file", ca, "--server", fleet.url,
              check=0)
    assert "admin" in fleet.run("whoami", check=0).stdout, "the context remembers the authority"
    found = [json.loads(n) for n in fleet.run("doctor", "--json", "--ca-file", ca, check=0).stdout.splitlines()]
    assert [f["status"] for f in found if f["name"] in ("certificate", "certificate key", "server")] == ["ok"] * 3


def test_nothing_older_than_1_3_and_hsts(tls_fleet):
    fleet = tls_fleet()
    for version in (ssl.TLSVersion.TLSv1_2,):
        old = context(fleet)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = version
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            with socket.create_connection(("127.0.0.1", fleet.port), timeout=10) as s:
                old.wrap_socket(s, server_hostname="127.0.0.1")
    connection = http.client.HTTPSConnection("127.0.0.1", fleet.port, context=context(fleet), timeout=10)
    for path in ("/v1/whoami", "/healthz/live", "/nowhere"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("Strict-Transport-Security") == "max-age=31536000", path
    assert connection.sock.version() == "TLSv1.3"
    connection.close()
    with socket.create_connection(("127.0.0.1", fleet.port), timeout=10) as s:  # plain HTTP to it
        s.sendall(b"GET /v1/info HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            assert not s.recv(4096).startswith(b"HTTP")
        except ConnectionResetError:
            pass


class Load(threading.Thread):
    """Requests without an end: over one connection that stays, or a new one each time."""

    def __init__(self, fleet, keep):
        super().__init__()
        self.fleet, self.keep = fleet, keep
        self.done, self.failures, self.serials = 0, [], set()
        self.enough = threading.Event()
        self.context = context(fleet)

    def connect(self):
        made = http.client.HTTPSConnection("127.0.0.1", self.fleet.port, context=self.context, timeout=20)
        made.connect()
        self.serials.add(x509.load_der_x509_certificate(made.sock.getpeercert(True)).serial_number)
        return made

    def run(self):
        connection = self.connect() if self.keep else None
        while not self.enough.is_set():
            try:
                c = connection or self.connect()
                c.request("GET", "/v1/info")
                answer = c.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(answer.status)
                if connection is None:
                    c.close()
                self.done += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
        if connection is not None:
            connection.close()


def test_a_new_certificate_is_taken_and_nothing_is_dropped(tls_fleet):
    fleet = tls_fleet()
    before = serial(fleet)
    loads = [Load(fleet, keep) for keep in (True, True, False, False)]
    for load in loads:
        load.start()
    try:
        for _ in range(2):
            last = serial(fleet)
            init(fleet.tls, "localhost", "127.0.0.1")
            wait_for(lambda: serial(fleet) != last, 20, 0.1, "the new certificate")
        assert serial(fleet) == read(fleet.tls / "server.pem").serial_number != before
        done = [load.done for load in loads]
        wait_for(lambda: all(load.done > n for load, n in zip(loads, done)), 20, what="more requests")
    finally:
        for load in loads:
            load.enough.set()
        for load in loads:
            load.join(30)
    assert [load.failures for load in loads] == [[]] * 4
    assert all(load.serials == {before} for load in loads if load.keep), "connections that were there stayed"
    assert all(len(load.serials) >= 2 for load in loads if not load.keep)
    assert "TLS-RELOADED" in open(fleet.log).read()


def metric(fleet, name):
    connection = http.client.HTTPSConnection("127.0.0.1", fleet.port, context=context(fleet), timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return [int(n.rsplit(" ", 1)[1]) for n in text.splitlines() if n.startswith(name)][0]


@pytest.mark.parametrize("spoil,says", [
    (lambda d: (d / "server.pem").write_text("nonsense"), "no PEM certificate"),
    (lambda d: shutil.copy(d / "ca/ca.key", d / "server.key"), "is not the key of"),
    (lambda d: (d / "server.key").unlink(), "No such file"),
], ids=["no-certificate", "other-key", "no-key"])
def test_a_bad_certificate_changes_nothing(tls_fleet, spoil, says):
    fleet = tls_fleet()
    before = serial(fleet)
    spoil(fleet.tls)
    wait_for(lambda: metric(fleet, "aegis_rest_tls_kept_total") == 1, 20, 0.1, "the plane to look")
    assert serial(fleet) == before
    kept = [n for n in open(fleet.log) if "TLS-KEPT" in n]
    assert len(kept) == 1 and "rest.tls." in kept[0] and "PRIVATE" not in kept[0]
    done = fleet.run("doctor", "--ca-file", str(fleet.tls / "ca.pem"), check=1)
    assert says in done.stdout
    init(fleet.tls, "localhost", "127.0.0.1")  # mended
    wait_for(lambda: serial(fleet) not in (before,), 20, 0.1, "the good one")
    assert metric(fleet, "aegis_rest_tls_kept_total") == 1 and metric(fleet, "aegis_rest_tls_reloads_total") == 1


def test_clients_with_certificates(tls_fleet, tmp_path):
    """client_ca_file: only who has a certificate by it gets as far as HTTP; a new authority is taken, too."""
    init(tmp_path / "one", "client-one")
    init(tmp_path / "two", "client-two")
    authority = tmp_path / "clients.pem"
    shutil.copy(tmp_path / "one/ca.pem", authority)
    fleet_dir = {}

    def asks(client):
        c = ssl.create_default_context(cafile=str(fleet_dir["tls"] / "ca.pem"))
        if client:
            c.load_cert_chain(tmp_path / client / "server.pem", tmp_path / client / "server.key")
        connection = http.client.HTTPSConnection("127.0.0.1", fleet_dir["port"], context=c, timeout=10)
        try:
            connection.request("GET", "/v1/info")
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    # A server's certificate is not for clients: one that is made by openssl.
    for who in ("one", "two"):
        d = tmp_path / who
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", d / "server.key", "-subj", "/CN=" + who, "-out", d / "c.csr"], check=True,
                       capture_output=True)
        (d / "ext").write_text("extendedKeyUsage=clientAuth\n")
        subprocess.run(["openssl", "x509", "-req", "-in", d / "c.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca/ca.key",
                        "-days", "2", "-extfile", d / "ext", "-out", d / "server.pem"], check=True, capture_output=True)
    fleet = tls_fleet(client_ca_file=str(authority))
    fleet_dir.update(tls=fleet.tls, port=fleet.port)
    assert (asks("one"), asks("two"), asks(None)) == (200, None, None)
    shutil.copy(tmp_path / "two/ca.pem", authority)
    wait_for(lambda: asks("two") == 200, 20, 0.1, "the other authority")
    assert asks("one") is None and asks(None) is None

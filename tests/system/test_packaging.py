# SPDX-License-Identifier: Apache-2.0
"""The fleet as a service of systemd, and as containers.

systemd itself does not run here; its own checker judges the unit that `meson
install` puts down, and the test plays the service manager's side of the protocol.
"""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
import yaml

from conftest import AEGIS, BUILD, ROOT, Fleet

EXPOSURE_MAX = 20  # of 100: systemd's word for it is 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The unit as installed, but with our own command in it."""
    unit = tmp_path_factory.mktemp("unit") / "aegis.service"
    text = open(os.path.join(BUILD, "packaging", "aegis.service")).read()
    assert "@" not in text.replace("@system-service", "").replace("@privileged", ""), "a place was not filled in"
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    program = command.split("=", 1)[1].split()[0]
    assert os.path.isabs(program)
    unit.write_text(text.replace(program, AEGIS))
    return str(unit)


@needs_systemd
def test_the_unit_is_valid(installed):
    out = subprocess.run(["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True)
    complaints = [line for line in out.stderr.splitlines() if "aegis.service" in line]
    assert complaints == []


def test_its_command_line_is_one_that_we_understand(installed):
    command = next(line for line in open(installed) if line.startswith("ExecStart="))
    words = command.strip().split("=", 1)[1].split()
    words[words.index("--config") + 1] = "/nowhere/aegis.yaml"
    out = subprocess.run(words, capture_output=True, text=True)
    assert out.returncode == 2 and "/nowhere/aegis.yaml" in out.stderr


@needs_systemd
def test_the_unit_is_tight(installed):
    out = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                          "--threshold=%d" % EXPOSURE_MAX, installed], capture_output=True, text=True)
    assert out.returncode == 0, out.stdout


class Manager:
    """The socket that a service manager gives to what it starts."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def heard(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


def test_ready_is_said_when_it_serves_and_stopping_when_it_ends(tmp_path, monkeypatch):
    manager = Manager(str(tmp_path))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
    fleet = Fleet().start()
    try:
        assert manager.heard()["READY"] == "1"
        assert fleet.client().get("/healthz/ready").status == 200
        for pid in fleet.processes().values():  # it is the supervisor's alone
            assert b"NOTIFY_SOCKET" not in open("/proc/%d/environ" % pid, "rb").read()
        fleet.process.send_signal(signal.SIGTERM)
        assert manager.heard()["STOPPING"] == "1"
        assert fleet.process.wait(30) == 0
    finally:
        fleet.leave()


@pytest.mark.parametrize("address", ["relative", "/" + "x" * 200, "/nowhere/socket"])
def test_an_address_that_is_none_changes_nothing(address, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    fleet = Fleet().start()
    try:
        assert fleet.client().get("/healthz/ready").status == 200
        assert "NOTIFY" in fleet.tail(10000)
    finally:
        fleet.leave()


# ------------------------------------------------------------------ containers

COMPOSE = os.path.join(ROOT, "compose")


FILES = ("compose.yaml", "two-nodes.yaml")
NODES = ("aegis", "one", "two")


def read(name):
    return open(os.path.join(COMPOSE, name)).read()


def services_of(name):
    """As compose merges them: what a service extends, and what it says itself."""
    base, found = yaml.safe_load(read("servers.yaml"))["services"], {}
    for service, own in yaml.safe_load(read(name))["services"].items():
        assert own["extends"]["file"] == "servers.yaml"
        merged = dict(base[own["extends"]["service"]])
        for key, value in own.items():
            merged[key] = merged.get(key, []) + value if key == "volumes" else value
        found[service] = merged
    return found


@pytest.fixture(scope="module", params=FILES)
def services(request):
    return services_of(request.param)


def test_a_nodes_container_may_do_nothing_but_serve(services):
    nodes = [service for name, service in services.items() if name in NODES]
    assert nodes
    for node in nodes:
        assert node["read_only"] is True and node["cap_drop"] == ["ALL"]
        assert node["security_opt"] == ["no-new-privileges:true"] and "privileged" not in node
        (writable,) = [v for v in node["volumes"] if not v.endswith(":ro")]
        assert writable.endswith(":/var/lib/aegis") and "/" not in writable.split(":")[0]
    last = read("Dockerfile").split("\nFROM ")[-1]
    assert "\nUSER 10001:10001\n" in last and "HEALTHCHECK" in last
    assert not re.search(r"^(ENTRYPOINT|CMD) [^\[]", last, re.M), "that would need a shell"


def test_only_this_machine_is_served(services):
    ports = dict((name, service["ports"]) for name, service in services.items() if "ports" in service)
    assert len(ports) == 1 and list(ports)[0] in ("aegis", "address"), "one address"
    assert all(p.startswith("127.0.0.1:") for list_ in ports.values() for p in list_)


def test_every_service_has_few_rights_and_a_health_check(services):
    for name, service in services.items():
        if name not in NODES:  # their image has one
            assert service["healthcheck"]["test"][0] == "CMD", name
        assert "privileged" not in service and "cap_add" not in service
        if name != "postgres":  # its entry becomes the user postgres by itself
            assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
    assert services["kafka"]["networks"] == ["bus"] and services["redis"]["networks"] == ["alone"]


@pytest.mark.parametrize("file", FILES)
def test_events_and_rates_have_networks_without_a_way_out(file):
    networks = yaml.safe_load(read(file))["networks"]
    assert networks["bus"] == networks["alone"] == {"internal": True}


def test_no_password_is_there_by_default(services):
    for name, service in services.items():
        site = [v for v in service["volumes"] if "AEGIS_SITE" in v]
        assert site and ":?run compose/init first}" in site[0], name + " would start without its secrets"
        for variable, value in (service.get("environment") or {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable, value)
        assert not re.search(r"(?i)passw|secret|requirepass", " ".join(service.get("command", [])).replace("/run/secrets/", "")), name
    text = read("servers.yaml")
    assert not re.search(r"trust|password:\s*\S", text.replace("/postgres.password", "").replace("postgres/password", ""))


def test_init_wants_an_image_and_makes_nothing_twice(tmp_path):
    site = tmp_path / "site"
    environment = dict(os.environ, AEGIS_SITE=str(site), ENGINE="false")
    done = subprocess.run([os.path.join(COMPOSE, "init")], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and ("there is no image" in done.stderr or "as root" in done.stderr)
    assert not site.exists()
    site.mkdir()
    done = subprocess.run([os.path.join(COMPOSE, "init")], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "is there already" in done.stderr
    assert os.listdir(site) == []

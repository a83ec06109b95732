# SPDX-License-Identifier: Apache-2.0
"""Streams end with their credential, the tail goes on over what breaks, and slow readers cost a bound."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest

from conftest import AEGIS, wait_for


class Stream:
    """A server-sent stream, read line by line."""

    def __init__(self, fleet, token, path="/v1/audit/stream"):
        parts = urllib.parse.urlsplit(fleet.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=15)
        self.socket.sendall(("GET %s HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (path, token)).encode())
        self.file = self.socket.makefile("rb")
        assert b" 200 " in self.file.readline()
        self.headers = [line.split(b":")[0].decode() for line in iter(self.file.readline, b"\r\n")]

    def until_end(self):
        """The last event's name and data; the stream is over after it."""
        name = data = None
        for line in self.file:
            text = line.decode().rstrip("\r\n")
            if text.startswith("event: "):
                name = text[7:]
            if text.startswith("data: "):
                data = text[6:]
        return name, json.loads(data)


def reader(fleet, unique):
    who = fleet.person(unique("auditor"), roles=["auditor"])
    return who, who.token


@pytest.mark.parametrize("verb, body, code", [
    ("suspend", {"reason": "test"}, "PrincipalSuspended"), ("delete", None, "Unauthenticated")])
def test_a_stream_ends_with_its_owner(fleet, admin, unique, verb, body, code):
    who, token = reader(fleet, unique)
    stream = Stream(fleet, token)
    admin.ok("GET", "/v1/whoami")
    if verb == "delete":
        admin.ok("DELETE", "/v1/principals/%s?reason=test" % who.name)
    else:
        admin.ok("POST", "/v1/principals/%s/%s" % (who.name, verb), body)
    assert stream.until_end() == ("end", {"code": code})


def test_a_stream_ends_with_its_token_and_no_other(fleet, admin, unique):
    who, token = reader(fleet, unique)
    second = admin.ok("POST", "/v1/principals/%s/tokens" % who.name, {})
    first, other = Stream(fleet, token), Stream(fleet, second["token"])
    assert {"RateLimit", "RateLimit-Policy"} <= set(first.headers)
    admin.ok("POST", "/v1/tokens/%s/revoke" % second["jti"], {"reason": "test"})
    assert other.until_end() == ("end", {"code": "Unauthenticated"})
    # The other token's stream goes on.
    marker = admin.get("/v1/whoami").headers["x-request-id"]
    for line in first.file:
        if marker.encode() in line:
            break
    else:
        raise AssertionError("the stream of a good token ended")


def test_the_tail_goes_on_over_a_restarted_plane(fleet, admin, tmp_path, unique):
    """Every event once, in order: those before, while and after its plane was away."""
    alias = unique("key")
    fleet.key(admin, alias)
    heard_file = tmp_path / "tail"
    env = dict(os.environ, AEGIS_STATE=fleet.state, XDG_CONFIG_HOME=fleet.state + ".home")
    with open(heard_file, "w") as out:
        tail = subprocess.Popen([AEGIS, "audit", "tail", "--key", alias, "--json"], stdout=out, env=env)

    def heard():
        return [json.loads(line)["seq"] for line in heard_file.read_text().splitlines() if line.endswith("}")]
    try:
        wait_for(lambda: admin.get("/v1/keys/" + alias) and heard(), 15, 0.1, "the tail")
        begun = heard()[0]
        for _ in range(3):
            os.kill(fleet.processes()["rest"], signal.SIGKILL)

            def again():
                try:
                    return fleet.admin().get("/v1/keys/" + alias).status == 200
                except OSError:
                    return False
            wait_for(again, 30, 0.05, "the plane")
        admin = fleet.admin()
        last = fleet.event_of(admin, admin.get("/v1/keys/" + alias))[0]["seq"]
        wait_for(lambda: heard()[-1] >= last, 30, 0.1, "the tail to go on")
    finally:
        tail.terminate()
        tail.wait(10)
    expected = [e["seq"] for e in fleet.events(admin, "key=" + alias) if begun <= e["seq"] <= last]
    assert [n for n in heard() if n <= last] == expected


def test_the_tail_ends_when_its_credential_does(fleet, admin, tmp_path, unique):
    who, token = reader(fleet, unique)
    token_file = tmp_path / "token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    env = dict(os.environ, AEGIS_STATE=fleet.state, XDG_CONFIG_HOME=fleet.state + ".home")
    tail = subprocess.Popen([AEGIS, "audit", "tail", "--token-file", str(token_file), "--json"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
    assert tail.stdout.readline()  # its own request is the first event that it hears
    admin.ok("POST", "/v1/principals/%s/suspend" % who.name, {"reason": "test"})
    _, err = tail.communicate(timeout=20)
    assert tail.returncode == 3 and "PrincipalSuspended" in err


@pytest.mark.parametrize("how", ["role", "role until", "role of a tenant"])
def test_a_stream_ends_with_the_right_to_read(fleet, admin, unique, how):
    """Whatever took audit:*:read away, no stream goes on: iam is asked, not the event's words."""
    if how == "role of a tenant":
        role = unique("watch")
        admin.ok("PUT", "/v1/roles/" + role, {"scopes": ["audit:*:read"]})
        who = fleet.person(unique("reader"), roles=[role])
    else:
        who = fleet.person(unique("reader"), roles=["auditor"])
    stream = Stream(fleet, who.token)
    other = Stream(fleet, fleet.person(unique("stays"), roles=["auditor"]).token)
    if how == "role":
        admin.ok("DELETE", "/v1/principals/%s/roles/auditor" % who.name)
    elif how == "role until":
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fleet.now() + 2))
        admin.ok("PUT", "/v1/principals/%s/roles/auditor" % who.name, {"valid_until": until})
    else:
        admin.ok("PUT", "/v1/roles/" + role, {"scopes": ["key:*:read"]})
    assert stream.until_end() == ("end", {"code": "PermissionDenied"})
    marker = admin.get("/v1/whoami").headers["x-request-id"].encode()
    assert any(marker in line for line in other.file), "the stream of who may read goes on"


def test_a_stream_ends_with_the_policy_that_let_it(fresh_fleet, unique):
    """A policy takes away what scopes still give: the streams of those whom it concerns end, and no others."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    who, stays = fleet.person("reader", roles=["auditor"]), fleet.person("stays", roles=["auditor"])
    everything = "permit(principal, action, resource);"
    admin.ok("PUT", "/v1/policies/base", {"text": everything})
    stream, other = Stream(fleet, who.token), Stream(fleet, stays.token)
    admin.ok("PUT", "/v1/policies/base", {"text": everything + " // again"})
    begun = admin.get("/v1/whoami").headers["x-request-id"].encode()
    assert any(begun in line for line in stream.file), "a policy that changes nothing for it ends no stream"
    admin.ok("PUT", "/v1/policies/no", {"text": """forbid(principal == Aegis::Human::"reader", action, resource)
        when { context.plane == "rest" };"""})
    assert stream.until_end() == ("end", {"code": "PermissionDenied"})
    marker = admin.get("/v1/whoami").headers["x-request-id"].encode()
    assert any(marker in line for line in other.file), "the stream of who may read goes on"
    got = who.get("/v1/audit?limit=1")
    assert (got.status, got.reason) == (403, "no_matching_rule")


def test_streams_end_with_their_tenant(fleet, admin, unique):
    name = unique("acme")
    made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "ann"})["admin"]
    stream, own = Stream(fleet, made["token"]), Stream(fleet, admin.token)
    admin.ok("POST", "/v1/tenants/%s/suspend" % name, {"reason": "test"})
    assert stream.until_end() == ("end", {"code": "Unauthenticated"})
    admin.ok("POST", "/v1/tenants/%s/resume" % name, {"reason": "test"})
    stream = Stream(fleet, made["token"])
    admin.ok("DELETE", "/v1/tenants/%s?reason=test" % name)
    assert stream.until_end() == ("end", {"code": "Unauthenticated"})
    marker = admin.get("/v1/whoami").headers["x-request-id"].encode()
    assert any(marker in line for line in own.file)


def test_streams_without_iam_end_in_a_while(fresh_fleet):
    """Nobody says any more who may read: a stream goes on for a bounded time."""
    fleet = fresh_fleet()
    admin = fleet.admin()
    stream = Stream(fleet, admin.token)
    pid = fleet.processes()["iam"]
    os.kill(pid, signal.SIGSTOP)
    try:
        stream.socket.settimeout(40)
        assert stream.until_end() == ("end", {"code": "Unavailable"})
    finally:
        os.kill(pid, signal.SIGCONT)

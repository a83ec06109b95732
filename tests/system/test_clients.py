# SPDX-License-Identifier: Apache-2.0
"""Services with a client secret: what they exchange it for, where it is kept, and what is told about tokens."""
import base64
import os

from conftest import b64, wait_for

WHY = {"reason": "because"}
CREDENTIALS = {"grant_type": "client_credentials"}


def basic(client, secret):
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (client, secret)).encode()).decode()}


def refused(got, status, code, reason):
    assert (got.status, got.code, got.reason) == (status, code, reason), got


def service(admin, name, roles=("key-user",)):
    made = admin.ok("POST", "/v1/principals", {"kind": "service", "name": name, "roles": list(roles)})
    assert made["client_secret_at"] is None
    return made["id"]


def on_disk(fleet, needle):
    """The files of the state directory, and the log, in which these bytes are."""
    found = [fleet.log] if needle in open(fleet.log, "rb").read() else []
    for folder, _, names in os.walk(fleet.state):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and needle in open(path, "rb").read():
                found.append(os.path.relpath(path, fleet.state))
    return found


# ----------------------------------------------------------------------- I34

def test_a_secret_is_exchanged_and_kept_as_a_hash(fleet, admin, unique):
    name, key = unique("svc"), unique("key")
    client = service(admin, name)
    fleet.key(admin, key)
    made = admin.post("/v1/principals/%s/secret" % name, headers={"Idempotency-Key": name})
    assert made.status == 201 and made.json["client_id"] == client, made
    secret = made.json["client_secret"]
    again = admin.post("/v1/principals/%s/secret" % name, headers={"Idempotency-Key": name})
    assert again.headers["idempotency-replayed"] == "true" and again.json["client_secret"] is None
    shown = admin.ok("GET", "/v1/principals/" + name)
    assert shown["client_secret_at"] and secret not in str(shown)

    nobody = fleet.client()
    got = nobody.post("/v1/token", CREDENTIALS, headers=basic(client, secret))
    assert got.status == 201, got
    assert (got.json["token_type"], got.json["expires_in"], got.json["scope"]) == ("Bearer", 3600, None)
    robot = fleet.client(got.json["access_token"])
    assert robot.ok("GET", "/v1/whoami")["id"] == client
    robot.ok("POST", "/v1/keys/%s/sign" % key, {"message_b64": b64(b"x")})
    event, = fleet.event_of(admin, got)
    assert (event["operation"], event["actor"]["id"], event["outcome"]) == ("principal.token", client, "allowed")
    narrow = nobody.post("/v1/token", dict(CREDENTIALS, scope="key:*:verify"), headers=basic(client, secret)).json
    refused(fleet.client(narrow["access_token"]).post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"x")}),
            403, "PermissionDenied", "scope_missing")

    # Only the hash is kept, and no place has the secret, sent or shown.
    assert not on_disk(fleet, secret.encode())
    sent = basic(client, secret)["Authorization"].split(" ")[1].encode()
    assert not on_disk(fleet, sent)
    assert any(p.startswith("journal/") for p in on_disk(fleet, b"$argon2id$v=19$m=19456,t=2,p=1$"))


def test_what_is_no_good_client(fleet, admin, unique):
    name = unique("svc")
    client = service(admin, name)
    secret = admin.ok("POST", "/v1/principals/%s/secret" % name)["client_secret"]
    nobody = fleet.client()
    bent = secret[:-1] + ("A" if secret[-1] != "A" else "E")
    for who in ((client, bent), (client, ""), ("svc_" + "0" * 32, secret), (name, secret)):
        got = nobody.post("/v1/token", CREDENTIALS, headers=basic(*who))
        assert (got.status, got.code) == (401, "Unauthenticated"), (who, got)
        assert got.headers["www-authenticate"].startswith("Basic ")
    refused(nobody.post("/v1/token", CREDENTIALS), 401, "Unauthenticated", "token_missing")
    refused(admin.post("/v1/token", CREDENTIALS), 401, "Unauthenticated", "token_malformed")
    # A secret is for this route alone.
    refused(nobody.get("/v1/whoami", headers=basic(client, secret)), 401, "Unauthenticated", "token_missing")
    refused(nobody.post("/v1/token", {"grant_type": "password"}, headers=basic(client, secret)),
            400, "InvalidField", "unknown_value")
    refused(nobody.post("/v1/token", {}, headers=basic(client, secret)), 400, "InvalidField", "missing")

    # The flag: disabled is 403 at once, for its tokens, too.
    token = nobody.post("/v1/token", CREDENTIALS, headers=basic(client, secret)).json["access_token"]
    admin.ok("POST", "/v1/principals/%s/suspend" % name, WHY)
    refused(nobody.post("/v1/token", CREDENTIALS, headers=basic(client, secret)), 403, "PrincipalSuspended", "by_person")
    refused(fleet.client(token).get("/v1/whoami"), 403, "PrincipalSuspended", "by_person")
    admin.ok("POST", "/v1/principals/%s/resume" % name, WHY)
    assert nobody.post("/v1/token", CREDENTIALS, headers=basic(client, secret)).status == 201

    gone = admin.ok("DELETE", "/v1/principals/%s/secret?reason=leaked" % name)
    assert gone["client_secret_at"] is None
    refused(nobody.post("/v1/token", CREDENTIALS, headers=basic(client, secret)), 401, "Unauthenticated", "invalid_client")


def test_a_secret_from_the_command(fleet, admin, unique, tmp_path):
    name, out, token = unique("svc"), str(tmp_path / "secret"), tmp_path / "token"
    client = service(admin, name)
    said = fleet.run("principal", "secret", name, "--out", out, check=0, token=fleet.state + "/admin.token").stdout
    assert os.stat(out).st_mode & 0o777 == 0o600 and client in said
    secret = open(out).read().strip()
    assert len(secret) == 43 and secret not in said
    got = fleet.client().post("/v1/token", CREDENTIALS, headers=basic(client, secret))
    token.write_text(got.json["access_token"])
    token.chmod(0o600)
    asked = ("token", "introspect", "--in", str(token))
    assert name in fleet.run(*asked, check=0, token=fleet.state + "/admin.token").stdout
    fleet.run("principal", "unsecret", name, "--reason", "over", check=0, token=fleet.state + "/admin.token")
    fleet.run("principal", "delete", name, "--reason", "over", check=0, token=fleet.state + "/admin.token")
    fleet.run(*asked, check=1, token=fleet.state + "/admin.token")


# ----------------------------------------------------------------------- I19

def test_introspection(fleet, admin, unique):
    who = fleet.person(unique("eve"), roles=("key-user",))
    agent = fleet.agent(admin, ["key:vault:sign"])
    ask = lambda token, by=admin: by.post("/v1/token/introspect", {"token": token})
    got = ask(agent.token)
    assert got.status == 200
    said = got.json
    assert said["active"] is True
    assert (said["sub"], said["iss"], said["aud"], said["token_type"]) == (agent.id, "aegis", "aegis", "Bearer")
    assert said["scope"] == "key:vault:sign" and said["aegis_kind"] == "agent"
    assert said["exp"] > said["iat"] and said["jti"] == agent.made["jti"]
    for part in agent.token.split("."):
        assert part not in got.data.decode()
    # Needs its scope; nobody else is told even of their own.
    refused(ask(agent.token, agent), 403, "PermissionDenied", "scope_missing")
    refused(ask(who.token, who), 403, "PermissionDenied", "scope_missing")
    helper = fleet.client(admin.ok("POST", "/v1/principals/admin/tokens",
                                   {"scopes": ["principal:*:introspect"]})["token"])
    assert ask(who.token, helper).json["active"] is True

    admin.ok("POST", "/v1/agents/%s/revoke" % agent.id, WHY)
    # What is not good says nothing else, whatever it is.
    for token in (agent.token, "nonsense", who.token[:-3] + "AAA", "a.b.c"):
        assert ask(token).json == {"active": False}, token
    event, = fleet.event_of(admin, got)
    assert event["operation"] == "principal.introspect" and event["params"]["jti"] == agent.made["jti"]
    wait_for(lambda: fleet.event_of(admin, got), what="the event")
    assert not [p for p in on_disk(fleet, agent.token.encode())]


def test_another_tenant_is_told_nothing(fleet, admin, unique):
    made = admin.ok("POST", "/v1/tenants", {"name": unique("acme"), "admin_name": "boss"})
    boss = fleet.client(made["admin"]["token"])
    assert admin.ok("POST", "/v1/token/introspect", {"token": boss.token}) == {"active": False}
    assert boss.ok("POST", "/v1/token/introspect", {"token": admin.token}) == {"active": False}
    assert boss.ok("POST", "/v1/token/introspect", {"token": boss.token})["active"] is True

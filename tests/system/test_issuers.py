# SPDX-License-Identifier: Apache-2.0
"""Tokens of other issuers, made by another implementation (PyJWT), and every
way to bend them; who a subject is here; and the identity that needs none."""
import base64
import hashlib
import hmac
import json
import os
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conftest import CONFIG, wait_for

IDP = "https://idp.example/realm"
SECRET = "s3cret-" * 8


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    return b64u(n.to_bytes((n.bit_length() + 7) // 8, "big"))


def jwk(key, kid):
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        n = public.public_numbers()
        return {"kty": "RSA", "kid": kid, "n": number(n.n), "e": number(n.e)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64u(raw)}
    n = public.public_numbers()
    size = (public.curve.key_size + 7) // 8
    return {"kty": "EC", "crv": {256: "P-256", 384: "P-384"}[public.curve.key_size], "kid": kid,
            "x": b64u(n.x.to_bytes(size, "big")), "y": b64u(n.y.to_bytes(size, "big"))}


KEYS = {"ES256": ec.generate_private_key(ec.SECP256R1()), "RS256": rsa.generate_private_key(65537, 2048),
        "EdDSA": ed25519.Ed25519PrivateKey.generate()}
OTHER = {"ES256": ec.generate_private_key(ec.SECP256R1()), "RS256": rsa.generate_private_key(65537, 2048),
         "EdDSA": ed25519.Ed25519PrivateKey.generate()}


def claims(**more):
    now = int(time.time())
    return {k: v for k, v in dict(dict(iss=IDP, sub="s-1", aud="aegis", iat=now, exp=now + 600,
                                       jti=str(uuid.uuid4())), **more).items() if v is not None}


def token(alg, key=None, kid=None, **more):
    return jwt.encode(claims(**more), key or KEYS[alg], alg, headers={"kid": kid or "k-" + alg})


def keys_file(path, keys):
    part = str(path) + ".new"
    with open(part, "w") as out:
        out.write(json.dumps({"keys": keys}) if isinstance(keys, list) else keys)
    os.rename(part, path)
    return str(path)


def config_of(tmp, **more):
    secret = tmp / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")
    keys = keys_file(tmp / "jwks.json", [jwk(key, "k-" + alg) for alg, key in KEYS.items()])
    return dict(CONFIG, auth={"issuers": [
        {"issuer": IDP, "algorithms": ["ES256", "RS256", "EdDSA"], "jwks_file": keys},
        {"issuer": "https://lab", "algorithms": ["HS256"], "hs256_secret_file": str(secret)},
        {"issuer": "https://new", "algorithms": ["ES256"], "jwks_file": keys, "default_roles": ["key-user"]},
        {"issuer": "https://odd", "algorithms": ["ES256"], "jwks_file": keys, "default_roles": ["none-such"]},
    ]}, **more)


@pytest.fixture(scope="module")
def idp(tmp_path_factory):
    from conftest import Fleet
    tmp = tmp_path_factory.mktemp("idp")
    fleet = Fleet(config=config_of(tmp))
    fleet.tmp = tmp
    fleet.start()
    admin = fleet.admin()
    for name, issuer in (("sam", IDP), ("lab", "https://lab")):
        admin.ok("POST", "/v1/principals", {"kind": "human", "name": name, "roles": ["auditor"],
                                            "external": {"issuer": issuer, "subject": "s-1"}})
    yield fleet
    fleet.leave()


def who(fleet, text):
    return fleet.client(text).get("/v1/whoami")


def refused(got, *reasons):
    assert got.status == 401 and got.code == "Unauthenticated" and got.reason in reasons, got


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_good(idp, alg):
    text = token(alg, jti="their-own-jti")
    got = who(idp, text)
    assert got.status == 200, got
    assert got.json["name"] == "sam" and got.json["roles"] == ["auditor"]
    assert got.json["credential"]["issuer"] == IDP and got.json["credential"]["jti"] == "their-own-jti"
    assert who(idp, text).json == got.json  # from the cache


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_bent(idp, alg):
    refused(who(idp, token(alg, key=OTHER[alg])), "token_signature")
    refused(who(idp, token(alg, kid="k-none")), "token_signature")
    for other in KEYS:
        if other != alg:  # another key's kid
            refused(who(idp, token(alg, kid="k-" + other)), "token_signature")
    refused(who(idp, token(alg, aud="other")), "token_audience")
    refused(who(idp, token(alg, exp=int(time.time()) - 1)), "token_expired")
    refused(who(idp, token(alg, nbf=int(time.time()) + 120)), "token_not_yet_valid")
    for claim in ("iss", "sub", "aud", "iat", "exp", "jti"):
        refused(who(idp, token(alg, **{claim: None})), "token_claims")
    refused(who(idp, token(alg, iss="aegis")), "token_issuer")
    refused(who(idp, token(alg, iss="https://lab")), "token_issuer")
    refused(who(idp, token(alg, sub="s-2")), "token_claims")
    good = token(alg)
    refused(who(idp, good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")), "token_signature", "token_malformed")


def sign_by_hand(header, payload, secret):
    text = b64u(json.dumps(header).encode()) + "." + b64u(json.dumps(payload).encode())
    return text + "." + b64u(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def test_sessions_are_required(idp):
    """What wants a credential that is kept here, another issuer's token does not do, whoever it is."""
    admin = idp.admin()
    ours = idp.client(admin.ok("POST", "/v1/principals/sam/tokens", {})["token"])
    theirs = idp.client(token("ES256"))
    allow = "permit (principal, action, resource);"
    try:
        admin.ok("PUT", "/v1/policies/base", {"text": allow + "@id(\"ours\") @require_session @reason(\"it must be revocable\") "
                                              "permit (principal, action == Aegis::Action::\"audit.query\", resource);"})
        no = theirs.get("/v1/audit?limit=1")
        assert (no.status, no.reason, no.json["rule"]) == (403, "session_required", "base/ours"), no
        assert "issued here" in no.json["hint"] and "it must be revocable" in no.json["detail"]
        assert theirs.get("/v1/principals").status == 200 and ours.get("/v1/audit?limit=1").status == 200
    finally:
        admin.ok("PUT", "/v1/policies/base", {"text": allow})


def test_confusion(idp):
    """The public key, which everybody has, is no shared secret (RS→HS), and `none` is no algorithm."""
    for alg, key in KEYS.items():
        public = key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        for secret in (pem, pem.strip(), b"", json.dumps(jwk(key, "k-" + alg)).encode()):
            forged = sign_by_hand({"alg": "HS256", "kid": "k-" + alg}, claims(), secret)
            refused(who(idp, forged), "token_signature")
    for none in ("none", "None", "", "HS512", "PS256", "ES384"):
        refused(who(idp, sign_by_hand({"alg": none, "kid": "k-ES256"}, claims(), b"")), "token_algorithm")
    unsigned = b64u(b'{"alg":"none"}') + "." + b64u(json.dumps(claims()).encode()) + "."
    refused(who(idp, unsigned), "token_algorithm", "token_malformed")
    # a key of another curve, whatever it is called
    p384 = ec.generate_private_key(ec.SECP384R1())
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    text = b64u(b'{"alg":"ES256","kid":"k-ES256"}') + "." + b64u(json.dumps(claims()).encode())
    r, s = decode_dss_signature(p384.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    refused(who(idp, text + "." + b64u(r.to_bytes(48, "big") + s.to_bytes(48, "big"))), "token_signature")
    # and a valid ES256 signature in DER instead of the two numbers
    der = KEYS["ES256"].sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    refused(who(idp, text + "." + b64u(der)), "token_signature")


def test_hs256(idp):
    good = jwt.encode(claims(iss="https://lab"), SECRET, "HS256")
    assert who(idp, good).json["name"] == "lab"
    refused(who(idp, jwt.encode(claims(iss="https://lab"), SECRET + "x", "HS256")), "token_signature")
    # an issuer that shares a secret speaks for itself only
    refused(who(idp, jwt.encode(claims(iss=IDP), SECRET, "HS256")), "token_issuer")


def test_introduced(idp, unique):
    """default_roles: whoever the issuer vouches for is somebody here from the first request on, and once."""
    subject = unique("subject")
    seen = {who(idp, token("ES256", iss="https://new", sub=subject)).json["id"] for _ in range(4)}
    assert len(seen) == 1
    admin = idp.admin()
    made = admin.ok("GET", "/v1/principals/" + seen.pop())
    assert made["external"] == {"issuer": "https://new", "subject": subject} and made["kind"] == "human"
    assert [role["name"] for role in made["roles"]] == ["key-user"]
    told = wait_for(lambda: [e for e in idp.all_events() if e["operation"] == "principal.introduce" and
                             e["resource"]["id"] == made["id"]], what="the event")
    assert len(told) == 1 and told[0]["outcome"] == "allowed"
    # a role that there is not: nobody is introduced with less
    assert who(idp, token("ES256", iss="https://odd", sub=subject)).status == 503
    # suspended here, refused here, whatever the issuer says
    admin.ok("POST", "/v1/principals/%s/suspend" % made["id"], {"reason": "because"})
    assert who(idp, token("ES256", iss="https://new", sub=subject)).status == 403
    # deleted, then the same subject: no way back in
    admin.ok("DELETE", "/v1/principals/%s?reason=left" % made["id"])
    assert who(idp, token("ES256", iss="https://new", sub=subject)).status in (401, 503)


def test_keys_change(idp, tmp_path):
    """A rotated set is taken without a restart; a bad one leaves the old one."""
    path = idp.tmp / "jwks.json"
    old, new = token("ES256"), token("ES256", key=OTHER["ES256"], kid="k-new")
    assert who(idp, old).status == 200
    refused(who(idp, new), "token_signature")
    for bad in ("{", '{"keys":[]}', '{"keys":[{"kty":"oct","k":"AQ","kid":"x"}]}'):
        keys_file(path, bad)
        wait_for(lambda: "ISSUER-KEYS-BAD" in idp.tail(200), what="the bad set to be seen")
        assert who(idp, old).status == 200
    keys_file(path, [jwk(OTHER["ES256"], "k-new")])
    wait_for(lambda: who(idp, new).status == 200, what="the new key")
    refused(who(idp, old), "token_signature")  # not even from the cache
    keys_file(path, [jwk(key, "k-" + alg) for alg, key in KEYS.items()])
    wait_for(lambda: who(idp, old).status == 200, what="the old key again")


# ------------------------------------------------------------------ our own key

def test_own_key_is_replaced(fresh_fleet):
    """Tokens of the old key count until the overlap ends, also across a restart; the set shows both meanwhile."""
    fleet = fresh_fleet(dict(CONFIG, auth={"keys": {"rotate_every_s": 3600, "overlap_s": 600}}))

    def kids():
        keys = fleet.client().get("/.well-known/jwks.json").json["keys"]
        assert all("d" not in key for key in keys)
        return [key["kid"] for key in keys]

    def kid_of(text):
        return jwt.get_unverified_header(text)["kid"]

    old = fleet.token()
    assert kids() == [kid_of(old)]
    fleet.move_clock(3600)
    both = wait_for(lambda: len(kids()) == 2 and kids(), 30, what="two keys in the set")
    assert both[0] == kid_of(old) and fleet.client(old).get("/v1/whoami").status == 200
    fleet.move_clock(90)
    fresh = lambda: fleet.client(old).ok("POST", "/v1/principals/admin/tokens", {})["token"]
    new = wait_for(lambda: (lambda text: kid_of(text) == both[1] and text)(fresh()), 30, what="a token by the new key")
    for _ in range(2):
        assert [fleet.client(text).get("/v1/whoami").status for text in (old, new)] == [200, 200]
        fleet.stop()
        fleet.start()
        assert kids() == both
    fleet.move_clock(600)
    wait_for(lambda: fleet.client(old).get("/v1/whoami").status == 401, 30, what="the old key's end")
    assert fleet.client(new).get("/v1/whoami").status == 200
    assert wait_for(lambda: len(kids()) == 1 and kids(), 30) == both[1:]


# ---------------------------------------------------------------- refused at boot

@pytest.mark.parametrize("what,says", [
    ("short", "ISSUER-SECRET-BAD"), ("open", "ISSUER-SECRET-BAD"), ("keys", "ISSUER-KEYS-BAD"),
    ("prod", "prod refuses HS256"), ("listen", "HS256 only on loopback"),
])
def test_refused_at_boot(fresh_fleet, tmp_path, what, says):
    config = config_of(tmp_path)
    listen = "127.0.0.1:0"
    if what == "short":
        (tmp_path / "secret").write_text("x" * 31)
    elif what == "open":
        (tmp_path / "secret").chmod(0o644)
    elif what == "keys":
        (tmp_path / "jwks.json").write_text("{}")
    elif what == "prod":
        config.update(environment="prod", rot={"software": {"accept_risk": True}})
    elif what == "listen":
        listen, config["rest"] = "0.0.0.0:0", {"allow_plain": True}
    fleet = fresh_fleet(config, start=False)
    done = fleet.run("up", "--config", fleet.config_file, "--listen", listen)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_dev_identity(fresh_fleet):
    fleet = fresh_fleet(start=False)
    as_admin = {"Aegis-Dev-Identity": "admin"}
    fleet.start()
    assert fleet.client().get("/v1/whoami", headers=as_admin).reason == "token_missing"
    fleet.stop()
    done = fleet.run("up", "--config", fleet.config_file, "--listen", "127.0.0.1:0", "--detach",
                     "--unsafe-dev-identity", check=0)
    try:
        assert "ready:" in done.stdout
        got = fleet.client().get("/v1/whoami", headers=as_admin)
        assert got.status == 200 and got.json["name"] == "admin", got
        assert got.json["credential"]["issuer"] == "unsafe-dev-identity"
        assert fleet.client().get("/v1/whoami", headers={"Aegis-Dev-Identity": "nobody"}).reason == "token_claims"
        assert fleet.client().get("/v1/whoami").reason == "token_missing"
        # a token that is bad is not made good by the header
        assert fleet.client("x").get("/v1/whoami", headers=as_admin).status == 401
    finally:
        fleet.run("down", check=0)
    for words, config in ((["--listen", "0.0.0.0:0"], None),
                          ([], "environment: prod\nrot: {software: {accept_risk: true}}\n")):
        if config:
            fleet.configure(config)
        done = fleet.run("up", "--config", fleet.config_file, "--unsafe-dev-identity", *words)
        assert done.returncode == 2 and "--unsafe-dev-identity" in done.stderr, done.stderr

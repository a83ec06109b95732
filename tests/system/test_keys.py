# SPDX-License-Identifier: Apache-2.0
"""Keys from the outside: create to destroy, every kind of use, what others'
software says of it, and what is left on the disk. K01-K10 K12 K13 K15 K17 K19
K24 R05 R12."""
import base64
import concurrent.futures
import glob
import hashlib
import json
import os
import subprocess

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from conftest import Fleet, b64, unb64, wait_for

SIGNING = ["EC_P256", "ED25519", "RSA_2048"]


def sign(who, key, data, **more):
    return who.ok("POST", "/v1/keys/%s/sign" % key, dict(message_b64=b64(data), **more))


def verify(who, key, data, signature, **more):
    return who.ok("POST", "/v1/keys/%s/verify" % key,
                  dict(message_b64=b64(data), signature_b64=b64(signature), **more))["valid"]


def public_pem(who, key, query=""):
    return who.ok("GET", "/v1/keys/%s/public-key%s" % (key, query))["public_key_pem"]


def refused(got, status, code, reason=None):
    assert (got.status, got.code) == (status, code), got
    if reason is not None:
        assert got.reason == reason, got


# ------------------------------------------------------------ K01, K02, K03

def test_create_and_read(fleet, admin, unique):
    alias = unique("invoice")
    got = admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": alias, "labels": {"env": "test"}})
    assert got.status == 201, got
    key = got.json
    assert got.headers["location"].endswith(key["id"])
    assert key["state"] == "PreActive" and key["version"] == 1 and key["usage"] == ["sign", "verify"]
    assert key["versions"][0]["origin"] == "generated" and key["versions"][0]["operations"] == 0
    assert key["labels"] == {"env": "test"} and key["rot"] == "software" and key["frozen"] is False
    assert "honey" not in key
    for name in (key["id"], alias):
        again = admin.get("/v1/keys/" + name)
        assert again.json == key
        assert again.headers["etag"] == '"%d"' % key["revision"]
    assert len(fleet.event_of(admin, got)) == 1


@pytest.mark.parametrize("body,code,reason", [
    ({"key_spec": "AES_7"}, "InvalidField", "unknown_value"),
    ({"key_spec": "EC_P256", "colour": "red"}, "InvalidField", "unknown_field"),
    ({"key_spec": 7}, "InvalidField", "wrong_type"),
    ({}, "InvalidField", "missing"),
    ({"key_spec": "EC_P256", "alias": "Not Good"}, "InvalidField", "bad_alias"),
    ({"key_spec": "EC_P256", "alias": "import"}, "InvalidField", "bad_alias"),
    ({"key_spec": "EC_P256", "usage": ["encrypt"]}, "InvalidField", None),
    ({"key_spec": "RSA_2048", "usage": ["sign", "encrypt"]}, "InvalidField", None),
    ({"key_spec": "EC_P256", "labels": {"BAD": "x"}}, "InvalidField", None),
    ({"key_spec": "EC_P256", "rotation": {"every_s": 0}}, "InvalidField", None),
])
def test_create_bad_input(fleet, admin, body, code, reason):
    got = admin.post("/v1/keys", body)
    refused(got, 400, code, reason)
    assert len(fleet.event_of(admin, got)) == 1


def test_create_unsupported(fleet, admin):
    refused(admin.post("/v1/keys", {"key_spec": "EC_P256", "rot": "aws"}), 501, "FeatureNotSupported", "rot")


def test_alias_is_taken_for_ever(fleet, admin, unique):
    alias = unique("once")
    fleet.key(admin, alias)
    refused(admin.post("/v1/keys", {"key_spec": "EC_P256", "alias": alias}), 409, "AlreadyExists", "alias")


def test_unknown_key(fleet, admin):
    refused(admin.get("/v1/keys/key_%032x" % 7), 404, "ItemNotFound")
    refused(admin.get("/v1/keys/nobody-has-this"), 404, "ItemNotFound")


def test_other_tenants_key_is_nowhere(fleet, admin, unique):
    key = fleet.key(admin)
    made = admin.ok("POST", "/v1/tenants", {"name": unique("t"), "admin_name": "boss"})
    boss = fleet.client(made["admin"]["token"])
    refused(boss.get("/v1/keys/" + key["id"]), 404, "ItemNotFound")
    refused(boss.post("/v1/keys/%s/sign" % key["id"], {"message_b64": b64(b"x")}), 404, "ItemNotFound")
    assert boss.items("/v1/keys") == []


def test_list_filters_and_pages(fleet, admin, unique):
    tag = unique("tag")
    ids = [fleet.key(admin, labels={"batch": tag}, spec="ED25519", activate=i % 2 == 0)["id"] for i in range(25)]
    listed = admin.items("/v1/keys?limit=7&label=batch=" + tag)
    assert [k["id"] for k in listed] == ids
    assert all("versions" not in k or not k["versions"] for k in listed)
    active = admin.items("/v1/keys?state=Active&label=batch=" + tag)
    assert len(active) == 13
    assert admin.items("/v1/keys?key_spec=AES_256&label=batch=" + tag) == []
    refused(admin.get("/v1/keys?cursor=nonsense"), 400, "InvalidField", "bad_cursor")
    refused(admin.get("/v1/keys?limit=0"), 400, "InvalidField")
    reader = fleet.agent(admin, ["key:%s:read" % ids[3], "key:%s:sign" % ids[4]])
    got = reader.get("/v1/keys")
    assert got.status in (200, 403)
    if got.status == 200:
        assert [k["id"] for k in got.json["items"]] == [ids[3]]


def test_pages_while_a_writer_runs(fleet, admin, unique):
    tag = unique("w")
    ids = {fleet.key(admin, labels={"batch": tag}, spec="AES_256")["id"] for _ in range(60)}
    writer = fleet.admin()
    seen, cursor = [], None
    while True:
        page = admin.ok("GET", "/v1/keys?limit=10&label=batch=%s%s" % (tag, "&cursor=" + cursor if cursor else ""))
        seen += [k["id"] for k in page["items"]]
        fleet.key(writer, labels={"batch": tag}, spec="AES_256")
        writer.ok("POST", "/v1/keys/%s/freeze" % seen[0], {"reason": "busy"})
        writer.ok("POST", "/v1/keys/%s/unfreeze" % seen[0], {"reason": "busy"})
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) and ids <= set(seen)


# -------------------------------------------------------- K04, K05, K07, K13

def test_life(fleet, admin):
    key = fleet.key(admin, activate=False)["id"]
    refused(admin.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"m")}), 409, "InvalidKeyState", "pre_active")
    refused(admin.post("/v1/keys/%s/deactivate" % key, {"reason": "r"}), 409, "IllegalOperation", "transition")
    assert admin.ok("POST", "/v1/keys/%s/activate" % key)["state"] == "Active"
    refused(admin.post("/v1/keys/%s/activate" % key), 409, "IllegalOperation", "transition")
    refused(admin.post("/v1/keys/%s/destroy" % key, {"reason": "r"}), 409, "IllegalOperation", "transition")
    signature = unb64(sign(admin, key, b"m")["signature_b64"])
    refused(admin.post("/v1/keys/%s/deactivate" % key, {}), 400, "InvalidField", "missing")
    assert admin.ok("POST", "/v1/keys/%s/deactivate" % key, {"reason": "year end"})["state"] == "Deactivated"
    refused(admin.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"m")}), 409, "InvalidKeyState", "deactivated")
    assert verify(admin, key, b"m", signature)


def test_freeze_is_reversible(fleet, admin):
    key = fleet.key(admin)["id"]
    signature = unb64(sign(admin, key, b"m")["signature_b64"])
    frozen = admin.ok("POST", "/v1/keys/%s/freeze" % key, {"reason": "look"})
    assert frozen["frozen"] and frozen["state"] == "Active"
    for op, body in (("sign", {"message_b64": b64(b"m")}),
                     ("verify", {"message_b64": b64(b"m"), "signature_b64": b64(signature)})):
        refused(admin.post("/v1/keys/%s/%s" % (key, op), body), 409, "InvalidKeyState", "frozen")
    assert not admin.ok("POST", "/v1/keys/%s/unfreeze" % key, {"reason": "fine"})["frozen"]
    assert verify(admin, key, b"m", signature)


def test_compromise_stops_everything(fleet, admin):
    key = fleet.key(admin)["id"]
    agent = fleet.agent(admin, ["key:%s:compromise" % key, "key:%s:sign" % key])
    sign(admin, key, b"m")
    got = agent.post("/v1/keys/%s/compromise" % key, {"reason": "mine"})
    refused(got, 403, "PermissionDenied", "not_for_agents")
    assert admin.ok("POST", "/v1/keys/%s/compromise" % key, {"reason": "leaked"})["state"] == "Compromised"
    for op, body in (("sign", {"message_b64": b64(b"m")}),
                     ("verify", {"message_b64": b64(b"m"), "signature_b64": b64(b"s")})):
        refused(admin.post("/v1/keys/%s/%s" % (key, op), body), 409, "KeyCompromised")


def test_rotate_and_old_versions(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    first = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"old"), "context": {"a": "1"}})
    for n in (2, 3, 4):
        rotated = admin.ok("POST", "/v1/keys/%s/rotate" % key)
        assert rotated["version"] == n
        assert [v["state"] for v in rotated["versions"]] == ["Deactivated"] * (n - 1) + ["Active"]
    plain = admin.ok("POST", "/v1/keys/%s/decrypt" % key,
                     {"ciphertext_b64": first["ciphertext_b64"], "context": {"a": "1"}})
    assert unb64(plain["plaintext_b64"]) == b"old" and plain["key_version"] == 1
    newest = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"new")})
    assert newest["key_version"] == 4
    assert unb64(newest["ciphertext_b64"])[:6] == b"\x01" + unb64(first["ciphertext_b64"])[1:2] + b"\0\0\0\x04"


def test_update_and_preconditions(fleet, admin):
    key = fleet.key(admin, labels={"a": "1", "b": "2"})
    path = "/v1/keys/" + key["id"]
    got = admin.request("PATCH", path, {"labels": {"a": None, "c": "3"}}, headers={"If-Match": '"%d"' % key["revision"]})
    assert got.status == 200 and got.json["labels"] == {"b": "2", "c": "3"}, got
    refused(admin.request("PATCH", path, {"labels": {"x": "y"}}, headers={"If-Match": '"%d"' % key["revision"]}),
            412, "PreconditionFailed")
    refused(admin.request("PATCH", path, {"state": "Active"}), 403, "PermissionDenied", "system_attribute")


# ------------------------------------------------------------------- K06, R12

def test_destroy_after_its_window(fresh_fleet):
    fleet = fresh_fleet({"keys": {"destroy_min_window_s": 60}})
    admin = fleet.admin()
    key = fleet.key(admin, "doomed", spec="AES_256")["id"]
    other = fleet.key(admin, "spared", spec="AES_256")["id"]
    blob = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"gone soon")})["ciphertext_b64"]
    admin.ok("POST", "/v1/keys/%s/deactivate" % key, {"reason": "end"})
    refused(admin.post("/v1/keys/%s/destroy" % key, {"reason": "r", "pending_window_s": 59}), 400, "InvalidField")
    planned = admin.ok("POST", "/v1/keys/%s/destroy" % key, {"reason": "end of life", "pending_window_s": 60})
    assert planned["destroy_at"] is not None and planned["state"] == "Deactivated"
    refused(admin.post("/v1/keys/%s/decrypt" % key, {"ciphertext_b64": blob}), 409, "InvalidKeyState",
            "pending_destruction")
    assert admin.ok("POST", "/v1/keys/%s/cancel-destroy" % key)["destroy_at"] is None
    admin.ok("POST", "/v1/keys/%s/decrypt" % key, {"ciphertext_b64": blob})
    admin.ok("POST", "/v1/keys/%s/destroy" % key, {"reason": "end of life", "pending_window_s": 60})
    slots = slot_rows(fleet)
    fleet.move_clock(61)
    tombstone = wait_for(lambda: destroyed(admin, key), what="the destruction")
    assert tombstone["alias"] == "doomed" and tombstone["destroy_at"] is None
    assert tombstone["versions"][0]["destroyed_at"] is not None
    refused(admin.post("/v1/keys/%s/decrypt" % key, {"ciphertext_b64": blob}), 409, "InvalidKeyState", "destroyed")
    # Exactly one wrapping key is gone, and its bytes are in no file.
    gone = slots - slot_rows(fleet)
    assert len(gone) == 1
    assert not anywhere(fleet.state, gone.pop())
    events = fleet.events(admin, "key=" + key)
    assert any(e["event_type"] == "lifecycle" for e in events)
    # The tombstone and the other key outlive a restart.
    fleet.stop()
    fleet.start()
    admin = fleet.admin()
    assert destroyed(admin, key)
    admin.ok("POST", "/v1/keys/%s/encrypt" % other, {"plaintext_b64": b64(b"x")})
    refused(admin.post("/v1/keys", {"key_spec": "AES_256", "alias": "doomed"}), 409, "AlreadyExists", "alias")


def destroyed(who, key):
    got = who.ok("GET", "/v1/keys/" + key)
    return got if got["state"] == "Destroyed" else None


def slot_rows(fleet):
    data = open(os.path.join(fleet.state, "rot", "wrapping.keys"), "rb").read()
    rows = [data[at + 16:at + 64] for at in range(64, len(data), 64)]
    return {row for row in rows if any(row)}


def anywhere(state, needle):
    """Files of the state directory (holes skipped) that hold these bytes."""
    found = []
    for path in glob.glob(os.path.join(state, "**"), recursive=True):
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as source:
                if needle in source.read():
                    found.append(path)
    return found


def test_master_key_is_private(fleet):
    path = os.path.join(fleet.state, "rot", "master.key")
    assert os.stat(path).st_mode & 0o7777 == 0o600
    assert os.path.getsize(path) == 32


def test_lax_master_key_refuses_to_start(fresh_fleet):
    fleet = fresh_fleet({})
    fleet.stop()
    os.chmod(os.path.join(fleet.state, "rot", "master.key"), 0o644)
    with pytest.raises(AssertionError):
        fleet.start(timeout_s=5)
    assert "hint: chmod 600 %s/rot/master.key" % fleet.state in fleet.tail(200)


# --------------------------------------------------------- K08, K09, K17, K19

@pytest.mark.parametrize("spec", SIGNING)
def test_openssl_agrees(fleet, admin, tmp_path, spec):
    key = fleet.key(admin, spec=spec)["id"]
    signed = sign(admin, key, b"invoice 17", **({"algorithm": "RSASSA_PKCS1_V1_5_SHA_256"} if spec == "RSA_2048" else {}))
    for name, data in (("m", b"invoice 17"), ("s", unb64(signed["signature_b64"])),
                       ("p", public_pem(admin, key).encode())):
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(tmp_path / "p"),
               "-in", str(tmp_path / "m"), "-sigfile", str(tmp_path / "s")] if spec == "ED25519" else \
        ["openssl", "dgst", "-sha256", "-verify", str(tmp_path / "p"), "-signature", str(tmp_path / "s"),
         str(tmp_path / "m")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    flipped = bytearray(unb64(signed["signature_b64"]))
    flipped[-1] ^= 1
    more = {"algorithm": signed["algorithm"]}
    assert verify(admin, key, b"invoice 17", unb64(signed["signature_b64"]), **more)
    assert not verify(admin, key, b"invoice 17", bytes(flipped), **more)
    assert not verify(admin, key, b"invoice 18", unb64(signed["signature_b64"]), **more)


def test_rsa_pss_with_the_hash_length_as_salt(fleet, admin):
    key = fleet.key(admin, spec="RSA_2048")["id"]
    public = serialization.load_pem_public_key(public_pem(admin, key).encode())
    for name, algorithm in (("SHA_256", hashes.SHA256()), ("SHA_384", hashes.SHA384()), ("SHA_512", hashes.SHA512())):
        signature = unb64(sign(admin, key, b"m", algorithm="RSASSA_PSS_" + name)["signature_b64"])
        public.verify(signature, b"m", padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)


def test_digests_and_p1363(fleet, admin):
    key = fleet.key(admin)["id"]
    public = serialization.load_pem_public_key(public_pem(admin, key).encode())
    digest = hashlib.sha256(b"m").digest()
    public.verify(unb64(sign(admin, key, digest, message_type="digest")["signature_b64"]), digest,
                  ec.ECDSA(Prehashed(hashes.SHA256())))
    raw = unb64(sign(admin, key, b"m", signature_format="p1363")["signature_b64"])
    assert len(raw) == 64
    assert verify(admin, key, b"m", raw, signature_format="p1363")
    refused(admin.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"short"), "message_type": "digest"}),
            400, "InvalidField")
    refused(admin.post("/v1/keys/%s/sign" % key, {"message_b64": b64(b"m"), "algorithm": "RSASSA_PSS_SHA_256"}),
            400, "InvalidField", "algorithm_mismatch")


def test_usage_is_enforced(fleet, admin):
    key = fleet.key(admin, spec="RSA_2048", usage=["sign"])["id"]
    aes = fleet.key(admin, spec="AES_256", usage=["decrypt"])["id"]
    for path, body in ((key + "/verify", {"message_b64": b64(b"m"), "signature_b64": b64(b"s")}),
                       (key + "/encrypt", {"plaintext_b64": b64(b"m")}),
                       (aes + "/encrypt", {"plaintext_b64": b64(b"m")}),
                       (aes + "/sign", {"message_b64": b64(b"m")}),
                       (aes + "/generate-data-key", {"data_key_spec": "AES_256"})):
        refused(admin.post("/v1/keys/" + path, body), 409, "IllegalOperation", "usage")


@pytest.mark.parametrize("spec,algorithm", [("EC_P256", "ES256"), ("ED25519", "EdDSA"), ("RSA_2048", "PS256")])
def test_jwks_validate_elsewhere(fleet, admin, spec, algorithm):
    key = fleet.key(admin, spec=spec)["id"]
    jwk = admin.ok("GET", "/v1/keys/%s/public-jwk" % key)
    assert jwk["kid"] == key + ".1" and "d" not in jwk
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": jwk["kid"]}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(b'{"sub":"x"}').rstrip(b"=")
    more = {"signature_format": "p1363"} if spec == "EC_P256" else {}
    signature = unb64(sign(admin, key, head + b"." + body, **more)["signature_b64"])
    token = (head + b"." + body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
    assert jwt.decode(token, jwt.PyJWK(dict(jwk, alg=algorithm)).key, algorithms=[algorithm]) == {"sub": "x"}
    admin.ok("POST", "/v1/keys/%s/rotate" % key)
    kids = {k["kid"] for k in admin.ok("GET", "/v1/keys/%s/jwks.json" % key)["keys"]}
    assert kids == {key + ".1", key + ".2"}


def test_symmetric_keys_have_no_public_half(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    for path in ("public-key", "public-jwk", "jwks.json"):
        refused(admin.get("/v1/keys/%s/%s" % (key, path)), 404, "ItemNotFound")


def test_import_of_a_public_key(fleet, admin):
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(serialization.Encoding.PEM,
                                            serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    key = admin.ok("POST", "/v1/keys/import", {"key_spec": "EC_P256", "public_key_pem": pem})
    assert key["versions"][0]["origin"] == "imported" and key["usage"] == ["verify"]
    admin.ok("POST", "/v1/keys/%s/activate" % key["id"])
    assert verify(admin, key["id"], b"theirs", private.sign(b"theirs", ec.ECDSA(hashes.SHA256())))
    secret = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                   serialization.NoEncryption()).decode()
    refused(admin.post("/v1/keys/import", {"key_spec": "EC_P256", "public_key_pem": secret}), 400, "InvalidField")
    refused(admin.post("/v1/keys/import", {"key_spec": "ED25519", "public_key_pem": pem}), 400, "InvalidField")


# --------------------------------------------------------------- K10, K12, R12

def test_encrypt_is_bound_to_its_context(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    secret = b"no-byte-of-this-in-a-log-" + os.urandom(8).hex().encode()
    sealed = admin.ok("POST", "/v1/keys/%s/encrypt" % key,
                      {"plaintext_b64": b64(secret), "context": {"a": "1", "b": "2"}})["ciphertext_b64"]
    path = "/v1/keys/%s/decrypt" % key
    plain = admin.ok("POST", path, {"ciphertext_b64": sealed, "context": {"b": "2", "a": "1"}})
    assert unb64(plain["plaintext_b64"]) == secret
    flipped = bytearray(unb64(sealed))
    flipped[20] ^= 1
    details = set()
    for body in ({"ciphertext_b64": sealed}, {"ciphertext_b64": sealed, "context": {"a": "1"}},
                 {"ciphertext_b64": sealed, "context": {"a": "1", "b": "3"}},
                 {"ciphertext_b64": b64(bytes(flipped)), "context": {"a": "1", "b": "2"}},
                 {"ciphertext_b64": b64(b"x"), "context": {"a": "1", "b": "2"}}):
        got = admin.post(path, body)
        refused(got, 400, "CryptographicFailure")
        details.add((got.json["detail"], got.json["reason_code"]))
    assert len(details) == 1
    refused(admin.post(path, {"ciphertext_b64": sealed, "context": {"a": "1"}, "aad_b64": b64(b"x")}), 400,
            "InvalidField", "conflicting_fields")
    assert not anywhere(fleet.state, secret) and secret not in open(fleet.log, "rb").read()
    other = fleet.key(admin, spec="AES_256")["id"]
    refused(admin.post("/v1/keys/%s/decrypt" % other, {"ciphertext_b64": sealed, "context": {"a": "1", "b": "2"}}),
            400, "CryptographicFailure")


def test_raw_format(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    raw = admin.ok("POST", "/v1/keys/%s/encrypt" % key, {"plaintext_b64": b64(b"t"), "aad_b64": b64(b"a"), "format": "raw"})
    assert len(unb64(raw["iv_b64"])) == 12 and len(unb64(raw["tag_b64"])) == 16
    body = {"format": "raw", "aad_b64": b64(b"a"), **{k: raw[k] for k in ("ciphertext_b64", "iv_b64", "tag_b64")}}
    assert unb64(admin.ok("POST", "/v1/keys/%s/decrypt" % key, body)["plaintext_b64"]) == b"t"
    refused(admin.post("/v1/keys/%s/decrypt" % key, dict(body, aad_b64=b64(b"b"))), 400, "CryptographicFailure")
    refused(admin.post("/v1/keys/%s/decrypt" % key, dict(body, iv_b64=b64(b"0" * 16))), 400, "InvalidField")


def test_rsa_encrypted_elsewhere(fleet, admin):
    key = fleet.key(admin, spec="RSA_2048", usage=["encrypt", "decrypt"])["id"]
    public = serialization.load_pem_public_key(public_pem(admin, key).encode())
    sealed = public.encrypt(b"theirs", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label"))
    plain = admin.ok("POST", "/v1/keys/%s/decrypt" % key,
                     {"format": "raw", "ciphertext_b64": b64(sealed), "aad_b64": b64(b"label")})
    assert unb64(plain["plaintext_b64"]) == b"theirs"


def test_data_keys(fleet, admin):
    key = fleet.key(admin, spec="AES_256")["id"]
    path = "/v1/keys/%s/generate-data-key" % key
    one = admin.ok("POST", path, {"data_key_spec": "AES_256", "context": {"file": "7"}})
    two = admin.ok("POST", path, {"data_key_spec": "AES_256", "context": {"file": "7"}})
    assert len(unb64(one["plaintext_b64"])) == 32 and one["plaintext_b64"] != two["plaintext_b64"]
    plain = admin.ok("POST", "/v1/keys/%s/decrypt" % key,
                     {"ciphertext_b64": one["ciphertext_b64"], "context": {"file": "7"}})
    assert plain["plaintext_b64"] == one["plaintext_b64"]
    assert admin.ok("POST", path, {"data_key_spec": "AES_128", "without_plaintext": True})["plaintext_b64"] is None
    refused(admin.post(path, {"data_key_spec": "RSA_2048"}), 400, "InvalidField")


# ------------------------------------------------------------- batch, K24, races

def test_a_large_batch(fleet, admin):
    """Its answer is larger than a process's locked memory."""
    fleet.key(admin, "large-batch", "AES_256")
    items = [{"plaintext_b64": b64(b"x" * 200)}] * 8000
    sealed = admin.ok("POST", "/v1/keys/large-batch/batch", {"operation": "encrypt", "items": items})
    assert sealed["failed"] == 0 and len(sealed["results"]) == 8000
    opened = admin.ok("POST", "/v1/keys/large-batch/batch", {"operation": "decrypt", "items": [
        {"ciphertext_b64": r["ciphertext_b64"]} for r in sealed["results"]]})
    assert {r["plaintext_b64"] for r in opened["results"]} == {b64(b"x" * 200)}


def test_batch(fleet, admin):
    key = fleet.key(admin)["id"]
    public = serialization.load_pem_public_key(public_pem(admin, key).encode())
    items = [{"message_b64": b64(b"m%d" % i)} for i in range(100)]
    items[7] = {"message_b64": b64(b"x"), "message_type": "digest"}
    got = admin.post("/v1/keys/%s/batch" % key, {"operation": "sign", "items": items})
    assert got.status == 200 and got.json["failed"] == 1, got
    assert got.json["results"][7]["error"]["code"] == "InvalidField"
    for i in (0, 99):
        public.verify(unb64(got.json["results"][i]["signature_b64"]), b"m%d" % i, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(unb64(got.json["results"][0]["signature_b64"]), b"m1", ec.ECDSA(hashes.SHA256()))
    events = fleet.event_of(admin, got)
    assert len(events) == 1 and events[0]["items"] == 100 and events[0]["failed"] == 1
    assert admin.ok("GET", "/v1/keys/" + key)["versions"][0]["operations"] == 99
    refused(admin.post("/v1/keys/%s/batch" % key, {"operation": "sign", "items": []}), 400, "InvalidField")
    refused(admin.post("/v1/keys/%s/batch" % key, {"operation": "mac", "items": items[:1]}), 400, "InvalidField")


def test_idempotency(fleet, admin, unique):
    mark, alias = {"Idempotency-Key": unique("i")}, unique("idem")
    body = {"key_spec": "EC_P256", "alias": alias}

    def create():
        who = fleet.admin()
        return who.post("/v1/keys", body, headers=mark)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = [f.result() for f in [pool.submit(create) for _ in range(10)]]
    assert {a.status for a in answers} == {201}, answers
    assert len({a.json["id"] for a in answers}) == 1
    assert len(admin.items("/v1/keys?alias_prefix=" + alias)) == 1
    refused(admin.post("/v1/keys", dict(body, alias=unique("x")), headers=mark), 422, "IdempotencyMismatch")


def test_racing_changes_are_serial(fleet, admin):
    key = fleet.key(admin)["id"]

    def rotate():
        return fleet.admin().post("/v1/keys/%s/rotate" % key)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [f.result() for f in [pool.submit(rotate) for _ in range(16)]]
    assert {a.status for a in answers} <= {200, 409}
    done = [a.json["version"] for a in answers if a.status == 200]
    assert len(done) == len(set(done))
    now = admin.ok("GET", "/v1/keys/" + key)
    assert now["version"] == 1 + len(done)
    assert [v["state"] for v in now["versions"]].count("Active") == 1


def test_keys_outlive_kill_and_restart(fresh_fleet):
    fleet = fresh_fleet({})
    admin = fleet.admin()
    keys = {spec: fleet.key(admin, spec=spec)["id"] for spec in SIGNING}
    signed = {spec: unb64(sign(admin, key, b"before")["signature_b64"]) for spec, key in keys.items()}
    victims = [pid for name, pid in fleet.processes().items() if name.startswith(("keys", "software"))]
    for pid in victims:
        os.kill(pid, 9)

    def works():
        got = fleet.admin().post("/v1/keys/%s/sign" % keys["EC_P256"], {"message_b64": b64(b"after")})
        return got.status == 200
    wait_for(works, 20, what="the shards to come back")
    admin = fleet.admin()
    for spec, key in keys.items():
        assert wait_for(lambda k=key, s=spec: verify_or_none(admin, k, signed[s]), what=spec)
        assert admin.ok("GET", "/v1/keys/" + key)["versions"][0]["operations"] >= 1


def verify_or_none(who, key, signature):
    got = who.post("/v1/keys/%s/verify" % key, {"message_b64": b64(b"before"), "signature_b64": b64(signature)})
    return got.status == 200 and got.json["valid"]


def test_honey_is_hidden(fleet, admin, unique):
    alias = unique("bait")
    made = admin.ok("POST", "/v1/keys", {"key_spec": "EC_P256", "alias": alias, "honey": True})
    assert made["honey"] is True
    user = fleet.person(unique("u"), roles=["key-admin"])
    assert alias not in [k["alias"] for k in user.items("/v1/keys")]
    refused(user.post("/v1/keys", {"key_spec": "EC_P256", "honey": True}), 403, "PermissionDenied")

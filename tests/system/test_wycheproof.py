# SPDX-License-Identifier: Apache-2.0
"""Project Wycheproof's vectors through the public socket. valid must succeed;
invalid must not, or be refused as CryptographicFailure or InvalidField;
acceptable may do either; an IV of another length than 12 is refused.

Signatures: every vector, under imported public keys. Of the files with secret
keys each key would need an import of its own, and for each the root of trust
makes an RSA-4096 pair (a second): here the key that most vectors of its size
use is imported and plays all of those; the whole files are played against the
cryptography itself by tests/unit/actors/keys_wycheproof_test.c."""
import collections
import json
import os

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from conftest import ROOT, b64

VECTORS = os.path.join(ROOT, "..", "shared", "vectors", "wycheproof")
BATCH = 500

# file, key_spec, what every request says besides message and signature
FILES = [
    ("ecdsa_secp256r1_sha256_test", "EC_P256", {"algorithm": "ECDSA_SHA_256", "signature_format": "der"}),
    ("ecdsa_secp256r1_sha256_p1363_test", "EC_P256", {"algorithm": "ECDSA_SHA_256", "signature_format": "p1363"}),
    ("ecdsa_secp256k1_sha256_test", "EC_SECP256K1", {"algorithm": "ECDSA_SHA_256", "signature_format": "der"}),
    ("ecdsa_secp384r1_sha384_test", "EC_P384", {"algorithm": "ECDSA_SHA_384", "signature_format": "der"}),
    ("ed25519_test", "ED25519", {"algorithm": "ED25519"}),
    ("rsa_signature_2048_sha256_test", "RSA_2048", {"algorithm": "RSASSA_PKCS1_V1_5_SHA_256"}),
    ("rsa_signature_3072_sha512_test", "RSA_3072", {"algorithm": "RSASSA_PKCS1_V1_5_SHA_512"}),
    ("rsa_pss_2048_sha256_mgf1_32_test", "RSA_2048", {"algorithm": "RSASSA_PSS_SHA_256"}),
    ("rsa_pss_4096_sha512_mgf1_64_test", "RSA_4096", {"algorithm": "RSASSA_PSS_SHA_512"}),
]


def load(name):
    path = os.path.join(VECTORS, name + ".json")
    if not os.path.exists(path):
        pytest.skip("no vectors at %s" % path)
    with open(path) as source:
        return json.load(source)


def import_public(admin, spec, pem):
    """The key's id; None when the import was refused as a bad field."""
    got = admin.post("/v1/keys/import", {"key_spec": spec, "public_key_pem": pem})
    if got.status == 400:
        assert got.code == "InvalidField", got
        return None
    assert got.status == 201, got
    admin.ok("POST", "/v1/keys/%s/activate" % got.json["id"])
    return got.json["id"]


def request_of(test, more):
    return dict(more, message_b64=b64(bytes.fromhex(test["msg"])), signature_b64=b64(bytes.fromhex(test["sig"])))


def verify_many(admin, key, tests, more):
    """For each: True, False, or the error's code."""
    outcomes = []
    for at in range(0, len(tests), BATCH):
        part = tests[at:at + BATCH]
        got = admin.ok("POST", "/v1/keys/%s/batch" % key,
                       {"operation": "verify", "items": [request_of(t, more) for t in part]})
        for result in got["results"]:
            error = result.get("error")
            outcomes.append(error["code"] if error else result["valid"])
    return outcomes


def wrong(test, outcome):
    if test["result"] == "valid":
        return outcome is not True
    if test["result"] == "invalid":
        return outcome not in (False, "CryptographicFailure", "InvalidField")
    return outcome not in (True, False, "CryptographicFailure", "InvalidField")


@pytest.mark.parametrize("name,spec,more", FILES, ids=[f[0] for f in FILES])
def test_verify(fleet, admin, name, spec, more):
    vectors = load(name)
    failures, seen = [], 0
    for group in vectors["testGroups"]:
        tests = group["tests"]
        key = import_public(admin, spec, group["publicKeyPem"])
        outcomes = verify_many(admin, key, tests, more) if key else ["InvalidField"] * len(tests)
        seen += len(tests)
        failures += [(t["tcId"], t["result"], t["comment"], o) for t, o in zip(tests, outcomes) if wrong(t, o)]
    assert seen == vectors["numberOfTests"]
    assert not failures, "%d of %d: %r" % (len(failures), seen, failures[:10])


def test_single_requests_agree(fleet, admin):
    """The batch takes the same way as single requests: a sample of both."""
    vectors = load("ecdsa_secp256r1_sha256_test")
    group = max(vectors["testGroups"], key=lambda g: len(g["tests"]))
    key = import_public(admin, "EC_P256", group["publicKeyPem"])
    sample = group["tests"][:20]
    for test, many in zip(sample, verify_many(admin, key, sample, {})):
        got = admin.post("/v1/keys/%s/verify" % key, request_of(test, {}))
        assert (got.json["valid"] if got.status == 200 else got.code) == many, test


# ------------------------------------------------------ secret keys, imported

def import_secret(admin, spec, material, **more):
    """An active key made of these bytes (raw, or PKCS#8), wrapped as an owner wraps it."""
    made = admin.patient("POST", "/v1/keys/import-parameters", {"wrapping_algorithm": "RSA_AES_KEY_WRAP_SHA_256"})
    public = serialization.load_pem_public_key(made["public_key_pem"].encode())
    kek = os.urandom(32)
    wrapped = public.encrypt(kek, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)) + \
        aes_key_wrap_with_padding(kek, material)
    key = admin.ok("POST", "/v1/keys/import", dict(
        key_spec=spec, import_id=made["import_id"], wrapping_algorithm="RSA_AES_KEY_WRAP_SHA_256",
        wrapped_key_b64=b64(wrapped), **more))["id"]
    admin.ok("POST", "/v1/keys/%s/activate" % key)
    return key


def hexb(test, member):
    return b64(bytes.fromhex(test[member]))


def outcome(got, member, wanted):
    """True: it gave what the vector says; else False or the error's code."""
    if got.status != 200:
        return got.code
    return got.json[member] is True if wanted is True else got.json[member] == wanted


def play_aead(admin, key, test):
    got = admin.post("/v1/keys/%s/decrypt" % key, {
        "format": "raw", "ciphertext_b64": hexb(test, "ct"), "iv_b64": hexb(test, "iv"), "tag_b64": hexb(test, "tag"),
        "aad_b64": hexb(test, "aad")})
    if len(test["iv"]) != 24:
        assert (got.status, got.code, got.json["field"]) == (400, "InvalidField", "/iv_b64"), (test["tcId"], got)
        return test["result"] == "valid" or "InvalidField"
    return outcome(got, "plaintext_b64", hexb(test, "msg"))


def play_wrap(algorithm):
    def play(admin, key, test):
        got = admin.post("/v1/keys/%s/unwrap" % key,
                         {"format": "raw", "algorithm": algorithm, "wrapped_key_b64": hexb(test, "ct")})
        if test["result"] == "valid":
            made = admin.ok("POST", "/v1/keys/%s/wrap" % key,
                            {"format": "raw", "algorithm": algorithm, "key_b64": hexb(test, "msg")})
            assert made["wrapped_key_b64"] == hexb(test, "ct"), test["tcId"]
        return outcome(got, "key_b64", hexb(test, "msg"))
    return play


def play_mac(admin, key, test):
    got = admin.post("/v1/keys/%s/mac-verify" % key, {
        "message_b64": hexb(test, "msg"), "mac_b64": hexb(test, "tag"), "mac_length": len(test["tag"]) // 2})
    return outcome(got, "valid", True)


def play_oaep(admin, key, test):
    got = admin.post("/v1/keys/%s/decrypt" % key, dict(
        {"format": "raw", "ciphertext_b64": hexb(test, "ct")}, **({"aad_b64": hexb(test, "label")} if test["label"] else {})))
    return outcome(got, "plaintext_b64", hexb(test, "msg"))


SECRET = [
    ("aes_gcm_test", "AES_128", 16, play_aead), ("aes_gcm_test", "AES_192", 24, play_aead),
    ("aes_gcm_test", "AES_256", 32, play_aead), ("chacha20_poly1305_test", "CHACHA20_POLY1305", 32, play_aead),
    ("aes_kwp_test", "AES_128", 16, play_wrap("AES_KWP")), ("aes_kwp_test", "AES_192", 24, play_wrap("AES_KWP")),
    ("aes_kwp_test", "AES_256", 32, play_wrap("AES_KWP")), ("aes_wrap_test", "AES_128", 16, play_wrap("AES_KW")),
    ("aes_wrap_test", "AES_192", 24, play_wrap("AES_KW")), ("aes_wrap_test", "AES_256", 32, play_wrap("AES_KW")),
    ("hmac_sha256_test", "HMAC_SHA256", 32, play_mac), ("hmac_sha512_test", "HMAC_SHA512", 64, play_mac),
]


@pytest.mark.parametrize("name,spec,size,play", SECRET, ids=["%s-%s" % (s[0], s[1]) for s in SECRET])
def test_secret_keys(fleet, admin, name, spec, size, play):
    tests = [t for g in load(name)["testGroups"] for t in g["tests"] if len(t["key"]) == 2 * size]
    often, _ = collections.Counter(t["key"] for t in tests).most_common(1)[0]
    key = import_secret(admin, spec, bytes.fromhex(often))
    # What is refused for its IV is refused under any key.
    mine = [t for t in tests if t["key"] == often or len(t.get("iv", "0" * 24)) != 24]
    failures = [(t["tcId"], t["result"], t["comment"], o) for t in mine for o in [play(admin, key, t)] if wrong(t, o)]
    assert len(mine) >= 12 and not failures, "%d of %d: %r" % (len(failures), len(mine), failures[:10])


@pytest.mark.parametrize("bits", [2048, 3072])
def test_rsa_oaep(fleet, admin, bits):
    vectors = load("rsa_oaep_%d_sha256_mgf1sha256_test" % bits)
    seen = 0
    for group in vectors["testGroups"]:
        key = import_secret(admin, "RSA_%d" % bits, bytes.fromhex(group["privateKeyPkcs8"]), usage=["encrypt", "decrypt"])
        for test in group["tests"]:
            o = play_oaep(admin, key, test)
            assert not wrong(test, o), (test["tcId"], test["comment"], o)
            seen += 1
    assert seen == vectors["numberOfTests"]


@pytest.mark.parametrize("name,why", [
    ("hkdf_sha256_test", "key derivation is not an operation of this interface"),
    ("x25519_test", "key agreement is not an operation of this interface"),
    ("json_web_key_test", "no route takes a JWK"),
    ("json_web_signature_test", "no route takes a JWS; tokens are tested by iam"),
])
def test_not_offered(name, why):
    pytest.skip("%s: %s" % (name, why))


def test_no_file_is_forgotten():
    """Every file beside the tree is played or skipped above."""
    if not os.path.isdir(VECTORS):
        pytest.skip("no vectors at %s" % VECTORS)
    there = {f[:-5] for f in os.listdir(VECTORS) if f.endswith(".json")}
    known = {f[0] for f in FILES} | {s[0] for s in SECRET} | {
        "rsa_oaep_2048_sha256_mgf1sha256_test", "rsa_oaep_3072_sha256_mgf1sha256_test", "hkdf_sha256_test",
        "x25519_test", "json_web_key_test", "json_web_signature_test"}
    assert there <= known, there - known

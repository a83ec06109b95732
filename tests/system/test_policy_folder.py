# SPDX-License-Identifier: Apache-2.0
"""Policies of a folder, like a checked-out branch: in force soon after a change, whole or not at all."""
import os
import subprocess


from conftest import wait_for
from test_policy_signed import ALL, STOP, pair
from test_replay import replay

SLOW = 30.0  # how long a change may take


def git(folder, *words):
    env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.com", GIT_COMMITTER_NAME="a",
               GIT_COMMITTER_EMAIL="a@example.com", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
    return subprocess.run(["git", "-C", str(folder)] + list(words), env=env, check=True, capture_output=True, text=True)


def documents(admin):
    return {p["name"]: p["version"] for p in admin.items("/v1/policies")}


def in_force(admin, name, text):
    def is_so():
        got = admin.get("/v1/policies/" + name)
        return got.status == 200 and got.json["text"] == text
    wait_for(is_so, SLOW, 0.1, "%s to be in force" % name)


def alerts(fleet, admin):
    return [e for e in fleet.events(admin, "operation=policy.offer") if e["outcome"] == "denied"]


def alert(fleet, admin, reason, said):
    """An event that says so."""
    def told():
        return [e for e in alerts(fleet, admin) if e["reason_code"] == reason and said in e["params"]["problem"]]
    return wait_for(told, SLOW, 0.1, "an alert: %s" % said)[0]


def test_a_branch_is_in_force(fresh_fleet, tmp_path):
    """A commit, signed, is in force after the pull; one that is wrong is not, and what was stays."""
    upstream, tree = tmp_path / "upstream", tmp_path / "tree"
    upstream.mkdir()
    fleet = fresh_fleet(start=False)
    key, public = pair(tmp_path, "alice")
    sign = lambda: fleet.run("policy", "sign", str(upstream), "--key", key, check=0)
    git(upstream, "init", "-q", "-b", "main")
    (upstream / "base.cedar").write_text(ALL)
    sign()
    git(upstream, "add", ".")
    git(upstream, "commit", "-q", "-m", "begin")
    git(tmp_path, "clone", "-q", str(upstream), str(tree))
    fleet.configure({"policies": {"directory": str(tree), "enforce": True,
                                  "signers": [{"name": "alice", "public_key_file": public}]}})
    fleet.start()
    admin = fleet.admin()
    in_force(admin, "base", ALL)
    first = admin.ok("GET", "/v1/policies/base")
    assert first["updated_by"] == "policies.directory" and first["signed_version"] == 1
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).status == 201

    def commit(**texts):
        for name, text in texts.items():
            (upstream / (name + ".cedar")).write_text(text)
        git(upstream, "add", ".")
        git(upstream, "commit", "-q", "-m", "more")
        git(tree, "pull", "-q")

    # Not signed: refused, with an alert; and what is valid among it is not taken either.
    commit(stop=STOP)
    event = alert(fleet, admin, "signature_missing", "stop.cedar")
    assert (event["event_type"], event["resource"]["type"]) == ("lifecycle", "policy")
    assert documents(admin) == {"base": 1}
    # Signed: in force, both at once, as one version.
    (upstream / "base.cedar").write_text(ALL + "// two\n")
    sign()
    commit()
    in_force(admin, "stop", STOP)
    assert {p["policy_version"] for p in admin.items("/v1/policies")} == {2}
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).json["rule"] == "stop/stop"
    [done] = [e for e in fleet.events(admin, "operation=policy.offer") if "stop" in e["params"].get("documents", "")]
    assert done["outcome"] == "allowed"
    # Wrong: with file and line; the old stays.
    (upstream / "stop.cedar").write_text("permit (principal, action, resource)\nwhen { principal.rol == 1 };\n")
    commit()
    alert(fleet, admin, "bad_policy", "stop.cedar:2:")
    assert admin.ok("GET", "/v1/policies/stop")["text"] == STOP
    # Its end is signed, too.
    git(upstream, "rm", "-q", "--cached", "stop.cedar")
    (upstream / "stop.cedar").unlink()
    fleet.run("policy", "sign", str(upstream / "stop.cedar"), "--gone", "--key", key, check=0)
    commit()
    wait_for(lambda: documents(admin) == {"base": 2}, SLOW, 0.1, "stop to be gone")
    assert admin.post("/v1/keys", {"key_spec": "AES_256"}).status == 201
    # Every decision comes to the same from the log alone, though the set changed by the folder.
    status, lines = replay(fleet)
    assert status == 0, lines


def test_what_is_not_looked_at(fresh_fleet, tmp_path):
    """Without signatures; links lead nowhere; what a person changed is put back; an empty folder ends nothing."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "base.cedar").write_text(ALL)
    (tree / "notes.txt").write_text("not ours")
    fleet = fresh_fleet({"policies": {"directory": str(tree)}})
    admin = fleet.admin()
    in_force(admin, "base", ALL)
    secret = tmp_path / "secret.cedar"
    secret.write_text(STOP)
    os.symlink(str(secret), str(tree / "link.cedar"))
    alert(fleet, admin, "bad_folder", "link.cedar: a link")
    assert documents(admin) == {"base": 1}
    os.unlink(str(tree / "link.cedar"))
    admin.request("PUT", "/v1/policies/base", {"text": STOP})
    in_force(admin, "base", ALL)
    os.unlink(str(tree / "base.cedar"))
    alert(fleet, admin, "bad_folder", "no <name>.cedar in it")
    assert list(documents(admin)) == ["base"]
    # A killed watcher comes back, and goes on.
    os.kill(fleet.processes()["policies"], 9)
    (tree / "base.cedar").write_text(ALL + "// again\n")
    in_force(admin, "base", ALL + "// again\n")

# SPDX-License-Identifier: Apache-2.0
"""What is printed from the verbs' rows for other programs: manual pages, and
the words that shells complete."""
import os
import re
import subprocess

import pytest

from conftest import AEGIS, ROOT
from test_cli_table import rows, run


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    where = tmp_path_factory.mktemp("man")
    done = run("doc", "man", "--out", str(where))
    assert done.returncode == 0 and not done.stdout, done.stderr
    return where


def nouns():
    return sorted(set(verb.split()[0] for verb in rows()))


def test_a_page_for_the_command_and_for_each_noun(pages):
    assert sorted(os.listdir(pages)) == sorted(["aegis.1"] + ["aegis-%s.1" % noun for noun in nouns()])
    for noun in nouns():
        assert (pages / ("aegis-%s.1" % noun)).read_text() == run("doc", "man", noun).stdout
    assert (pages / "aegis.1").read_text() == run("doc", "man").stdout
    assert run("doc", "man", "keys").stdout == run("doc", "man", "key").stdout
    assert run("doc", "man", "frobnicate").returncode == 2
    assert run("doc", "rest", "key").returncode == 2 and run("doc", "--out", str(pages)).returncode == 2


def test_manual_pages_are_clean_roff(pages):
    for name in sorted(os.listdir(pages)):
        page = str(pages / name)
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
        # Pages that are not installed yet cannot be found; all else is a fault.
        complaints = [n for n in (lint.stdout + lint.stderr).splitlines() if "referenced manual not found" not in n]
        assert not complaints, complaints
        groff = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert groff.returncode == 0 and not groff.stderr, (name, groff.stderr)


def test_manual_pages_say_what_help_says(pages):
    for verb in rows():
        page = str(pages / ("aegis-%s.1" % verb.split()[0]))
        text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", page], capture_output=True, text=True).stdout
        text = re.sub(r".\x08", "", text)  # overstruck: bold, underlined
        flat = re.sub(r"\s+", " ", text)
        usage = run(*verb.split(), "--help").stdout.split("\n")[0][len("usage: "):]
        assert usage in flat, (verb, usage)
        for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
            assert re.search("^" + heading + "$", text, re.M), (verb, heading)


# ---- completion

def test_completion_scripts_are_sound(tmp_path):
    for shell, check in (("bash", ["shellcheck", "--shell=bash", "--severity=style"]), ("zsh", ["zsh", "-n"]),
                         ("fish", ["fish", "--no-execute"])):
        script = tmp_path / ("aegis." + shell)
        script.write_text(run("completion", shell).stdout)
        done = subprocess.run(check + [str(script)], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout + done.stderr, (shell, done.stdout, done.stderr)
    assert run("completion", "tcsh").returncode == 2


CASES = [
    ("aegis wh", ["whoami"]),
    ("aegis key cance", ["cancel-destroy"]),
    ("aegis keys cance", ["cancel-destroy"]),
    ("aegis audit ver", ["verify"]),
    ("aegis key sign --dig", ["--digest"]),
    ("aegis key sign k --format ", ["der", "p1363"]),
    ("aegis principal create x --kind h", ["human"]),
    ("aegis completion f", ["fish"]),
    ("aegis whoami --tok", ["--token-file"]),
]


@pytest.mark.parametrize("line,words", CASES + [("aegis --state d key cance", ["cancel-destroy"])])
def test_bash_completes(tmp_path, line, words):
    script = tmp_path / "aegis.bash"
    script.write_text(run("completion", "bash").stdout)
    ask = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); complete -p aegis > /dev/null || exit 1; '
           '_aegis; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-u", "-c", ask, str(script)] + line.split(" "), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert sorted(done.stdout.split()) == sorted(words)


@pytest.mark.parametrize("line,words", CASES)
def test_zsh_completes(tmp_path, line, words):
    """Its completion functions are replaced by ones that print what they are given."""
    script = tmp_path / "_aegis"
    script.write_text(run("completion", "zsh").stdout)
    ask = ('_describe() { print -rl -- "${(@P)2}"; }; compadd() { shift; print -rl -- "$@"; }; _files() { :; }; '
           'compdef() { :; }; source "$0"; words=("$@"); CURRENT=$#; _aegis')
    done = subprocess.run(["zsh", "-fc", ask, str(script)] + line.split(" "), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    offered = [n.split(":")[0] for n in done.stdout.splitlines()]
    typed = line.split(" ")[-1]
    assert sorted(n for n in offered if n.startswith(typed)) == sorted(words)


@pytest.mark.parametrize("line,words", [c for c in CASES if "keys" not in c[0]])
def test_fish_completes(tmp_path, line, words):
    script = tmp_path / "aegis.fish"
    script.write_text(run("completion", "fish").stdout)
    done = subprocess.run(["fish", "--no-config", "-c", 'source "$argv[1]"; complete -C "$argv[2]"', str(script), line],
                          capture_output=True, text=True, cwd=str(tmp_path), env=dict(os.environ, HOME=str(tmp_path)))
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert sorted(n.split("\t")[0] for n in done.stdout.splitlines()) == sorted(words)


def test_they_are_installed(tmp_path):
    done = subprocess.run([os.path.join(ROOT, "scripts", "install-pages.sh"), AEGIS], capture_output=True, text=True,
                          env=dict(os.environ, MESON_INSTALL_DESTDIR_PREFIX=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    share = tmp_path / "share"
    assert (share / "man/man1/aegis-key.1").exists() and (share / "man/man1/aegis.1").exists()
    for name in ("bash-completion/completions/aegis", "zsh/site-functions/_aegis", "fish/vendor_completions.d/aegis.fish"):
        assert (share / name).stat().st_size > 1000
    assert "install-pages.sh" in open(os.path.join(ROOT, "meson.build")).read()

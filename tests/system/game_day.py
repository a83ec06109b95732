# SPDX-License-Identifier: Apache-2.0
"""Plays the runbook of docs/operations.md: reads its blocks, causes each
failure, types each command, and compares what it says with the page."""
import os
import re
import subprocess
import time

from conftest import BUILD, ROOT

PAGE = os.path.join(ROOT, "docs", "operations.md")
DEADLINE_S = 30
# What only asks may be asked until the answer has come true.
ASKS = re.compile(r"aegis (status|doctor|sink list|audit|whoami|key (show|sign)|agent (list|show))\b|curl ")
# What the page's fault blocks call; `url` and `pid` are for its commands, too.
PRELUDE = r"""
set -euo pipefail
pid() { aegis status --json | sed -n 's/^{"name":"'"$1"'",.*"pid":\([0-9]*\),.*/\1/p'; }
url() { sed 's/.*"rest":"\([^"]*\)".*/\1/' "$AEGIS_STATE/run/endpoints.json"; }
"""


class Section:
    def __init__(self, title, blocks):
        self.title, self.blocks = title, blocks

    def __repr__(self):
        return re.sub(r"[^a-z]+", "-", self.title.lower()).strip("-")


def sections():
    """What comes before the first failure, and each failure."""
    text = open(PAGE).read().split("\n## Runbook\n", 1)[1]
    parts = re.split(r"^### (.*)\n", text, flags=re.M)
    found = [("begin", parts[0])] + list(zip(parts[1::2], parts[2::2]))
    return [Section(title, re.findall(r"^```(sh fault|console)\n(.*?)^```", body, re.M | re.S)) for title, body in found]


def steps(block):
    """[command, lines that it is to say, exit status]"""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], [], 0])
        elif re.fullmatch(r"\[\d+\]", line):
            found[-1][2] = int(line[1:-1])
        else:
            found[-1][1].append(line)
    return found


def matches(wanted, said):
    """Whether the lines say what is wanted, in that order: … is anything, of spaces their number does not count. A
    listing may have other rows before, between and after: rows are told by where they begin."""
    rest = iter([" ".join(line.split()) for line in said])
    for line in wanted:
        words = " ".join(line.split())
        if words == "…":
            continue
        pattern = ".*".join(re.escape(part.strip()) if part.strip() else "" for part in words.split("…"))
        if not any(re.fullmatch(pattern, got) for got in rest):
            return False
    return True


class Game:
    """One fleet, the folder in which things are typed, and who is called by `server NAME VERB` and other words."""

    def __init__(self, fleet, folder, servers=None, words=None, env=None):
        self.fleet, self.folder = fleet, str(folder)
        self.servers, self.words, self.shown = servers or {}, words or {}, ""
        self.env = dict(os.environ, AEGIS_STATE=fleet.state, NO_COLOR="1", XDG_CONFIG_HOME=self.folder + "/home",
                        PATH=os.path.abspath(BUILD) + ":" + os.environ["PATH"], **(env or {}))
        for name in ("AEGIS_TOKEN", "AEGIS_TOKEN_FILE", "AEGIS_SERVER", "AEGIS_CONTEXT"):
            self.env.pop(name, None)
        self.fault('aegis login --token-file "$AEGIS_STATE/admin.token"\n')

    def shell(self, script):
        done = subprocess.run(["bash", "-c", PRELUDE + script], cwd=self.folder, env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=120)
        return done.returncode, done.stdout

    def fault(self, block):
        script = ""
        for line in block.splitlines(True):
            words = line.split()
            if words and (words[0] == "server" or words[0] in self.words):
                self.flush(script)
                script = ""
                if words[0] == "server":
                    self.servers[words[1]](words[2])
                else:
                    self.words[words[0]](*words[1:])
            else:
                script += line
        self.flush(script)

    def flush(self, script):
        if script:
            status, said = self.shell(script)
            assert status == 0, "%s\n%s" % (script, said)

    def filled(self, command):
        def last(cut):
            ids = re.findall(r"\b%s[0-9a-f]{32}\b" % cut.group(1), self.shown)
            assert ids, "no %s was shown before: %s" % (cut.group(0), command)
            return ids[-1]
        return re.sub(r"\b([a-z]+_)…", last, command)

    def type(self, command, wanted, status):
        end = time.monotonic() + DEADLINE_S
        while True:
            got, said = self.shell(self.filled(command))
            if got == status and matches(wanted, said.splitlines()):
                self.shown += said
                return
            assert ASKS.match(command) and time.monotonic() < end, \
                "$ %s\nwanted [%d]:\n%s\nsaid [%d]:\n%s\n%s" % (command, status, "\n".join(wanted), got, said,
                                                            self.fleet.tail())
            time.sleep(0.1)

    def play(self, section):
        for kind, body in section.blocks:
            if kind == "sh fault":
                self.fault(body)
            else:
                for step in steps(body):
                    self.type(*step)

"""The commands in a Markdown file, and running one of them as its reader would."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from retentionjax import cli

ROOT = Path(__file__).parents[1]


def commands(document: str) -> list[str]:
    """Every indented or fenced line that starts one of our commands or curl, in order."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    ours = r"(    |\$ )?(retentionjax|curl|python -m experiments|python -c)\b"
    found = [line.strip() for line in lines if re.match(ours, line)]
    assert found, f"{document} shows no command"
    return found


def run(command: str, environment: dict[str, str]) -> int:
    """Its exit status; `retentionjax …` within this process, which has imported everything already."""
    if command.startswith("retentionjax "):
        expanded = re.sub(r"\$(\w+)", lambda match: environment[match[1]], command)
        return cli.main(shlex.split(expanded)[1:])
    done = subprocess.run(
        ["bash", "-c", command], env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    print(done.stdout, done.stderr)
    return done.returncode

"""The deployment guide names what there is: every script, file, flag and variable in its commands."""

import re
from pathlib import Path

import pytest

from experiments import submit
from retentionjax import cli

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "scripts/deploy/README.md").read_text()
COMMANDS = re.sub(r"\\\n\s*", " ", "\n".join(line[4:] for line in GUIDE.splitlines() if line.startswith("    ")))


def test_scripts_and_files_exist() -> None:
    named = set(re.findall(r"(?:scripts|experiments|\.github)/[\w/.-]+\w", GUIDE)) | {
        f"scripts/deploy/{name}" for name in re.findall(r"`((?:docker|terraform)/[\w.]+)`", GUIDE)
    }
    assert len(named) > 12
    for name in named:
        assert (ROOT / name).exists(), name


def test_variables_given_to_terraform_exist() -> None:
    variables = set(re.findall(r'variable "(\w+)"', (ROOT / "scripts/deploy/terraform/variables.tf").read_text()))
    given = set(re.findall(r"-var '?(\w+)=", COMMANDS))
    assert given
    assert given <= variables
    targets = re.findall(r"-target=(\w+)\.(\w+)", COMMANDS)
    text = "".join(path.read_text() for path in (ROOT / "scripts/deploy/terraform").glob("*.tf"))
    assert targets
    assert all(f'resource "{kind}" "{name}"' in text for kind, name in targets)


def test_the_commands_of_retentionjax_exist() -> None:
    used = set(re.findall(r"^retentionjax ([a-z]+)", COMMANDS, re.MULTILINE))
    assert used == {"submit", "bundle"}
    assert used <= {command.name for command in cli.COMMANDS}


@pytest.mark.parametrize("line", [line for line in COMMANDS.splitlines() if line.startswith("retentionjax submit")])
def test_submits_flags_parse(line: str) -> None:
    words = line.replace("$PROJECT", "my-project").replace("$REGISTRY", "r").split()[2:]
    parsed = submit._parser().parse_args(words)
    assert parsed.preset == "mvp"

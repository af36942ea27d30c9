"""The deployment guide names what there is: every script, file and variable, and what our own programs are given is
parsed by them. Flags of gcloud, Terraform and Docker are not checked."""

import argparse
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from experiments import config
from retentionjax import cli
from serving import settings

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


def test_the_shell_reads_every_command() -> None:
    done = subprocess.run(["bash", "-n"], input=COMMANDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def calls(first: str) -> list[list[str]]:
    """Words of each command of the guide that begins with `first`, in blocks and in running text."""
    inline = [re.sub(r"\s+", " ", each) for each in re.findall(r"`([^`]+)`", GUIDE)]
    lines = [each.strip() for line in [*COMMANDS.splitlines(), *inline] for each in line.split(" && ")]
    values = {"PROJECT": "my-project", "REGISTRY": "registry", "PWD": "/here"}
    return [
        shlex.split(re.sub(r"\$(\w+)", lambda name: values.get(name[1], name[0]), line))
        for line in lines
        if line.startswith(f"{first} ")
    ]


class ParsedError(Exception):
    """The arguments are understood; nothing more is wanted of the command."""


def test_our_own_commands_take_these_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> None:
        parse(self, args, namespace)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    with_arguments = [words for words in calls("retentionjax") if len(words) > 2]
    assert {words[1] for words in with_arguments} == {"submit", "bundle", "keys"}
    for words in with_arguments:
        assert words[1] in {command.name for command in cli.COMMANDS}
        with pytest.raises(ParsedError):
            cli.main(words[1:])
    with pytest.raises(SystemExit):
        cli.main([*with_arguments[0][1:], "--no-such-flag"])


def test_our_own_scripts_take_these_arguments() -> None:
    scripts = {words[1]: words[2:] for words in calls("bash")}
    preset, options, _ = config.parse("gpu_vm", "", {}, scripts.pop("scripts/gpu_vm.sh")[1:], flat=False)
    assert (preset.name, options.runs) == ("mvp", "gs://my-project-retentionjax-runs/runs")
    usages = {f"scripts/deploy/ci/{path.name}": path.read_text() for path in (ROOT / "scripts/deploy/ci").glob("*.sh")}
    assert {name for name in scripts if name.startswith("scripts/deploy")} <= set(usages)
    for words in calls("bash"):
        if words[1].endswith(("build.sh", "scan.sh", "push.sh")):
            assert (ROOT / f"scripts/deploy/docker/{words[2]}.Dockerfile").exists(), words
    extras = re.search(r"^ +(cuda .*)\) ;;", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
    assert extras is not None
    assert set(scripts["scripts/setup.sh"]) <= set(extras[1].split(" | "))


def test_the_container_gets_settings_that_the_service_knows() -> None:
    (words,) = calls("docker")
    values = [after for before, after in pairwise(words) if before == "-e"]
    (mounted,) = [after.split(":")[1] for before, after in pairwise(words) if before == "-v"]
    found = settings.parse([], dict(value.split("=", 1) for value in values))
    assert (found.bundle, found.database) == (mounted, "sqlite:////tmp/ledger.db")
    assert f"{settings.parse(['--bundle', mounted], {}).port}" == "8080" == words[words.index("-p") + 1].split(":")[-1]

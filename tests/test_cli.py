"""The command line: instant help, lazy sub-commands, and what a user can mend is one line and a status."""

import errno
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from retentionjax import cli
from retentionjax.errors import BundleError, DataError

COMMAND = Path(sys.executable).parent / "retentionjax"


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


OURS = {"retentionjax", "serving", "experiments"}


def loaded(code: str) -> tuple[set[str], set[str], str]:
    """Modules that a new process has loaded after `code`, the packages among them that are neither ours nor Python's,
    and what it printed."""
    code = f"import sys\nbefore = {{*sys.modules}}\n{code}\nprint(*{{*sys.modules}} - before)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = set(said.splitlines()[-1].split())
    packages = {name.partition(".")[0] for name in modules} - OURS - set(sys.stdlib_module_names)
    return modules, packages, said


def test_help_names_every_command() -> None:
    shown = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for command in cli.COMMANDS:
        assert command.name in shown


@pytest.mark.parametrize("command", ["", *(each.name for each in cli.COMMANDS)])
def test_help_imports_no_package_but_ours_so_that_it_is_instant(command: str) -> None:
    asked = [command, "--help"] if command else ["--help"]
    modules, packages, said = loaded(
        f"from retentionjax import cli\ntry:\n    cli.main({asked!r})\nexcept SystemExit:\n    pass"
    )
    assert "usage" in said
    assert packages == set()
    assert not command or {each.name: each.module for each in cli.COMMANDS}[command] in modules


@pytest.mark.parametrize("arguments", [[], ["desire"], ["--unknown"]])
def test_an_unknown_command_ends_with_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
    assert "retentionjax: error:" in capsys.readouterr().err


def test_a_command_gets_the_arguments_after_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    module = types.ModuleType("a_module_of_this_test")
    module.main = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "COMMANDS", (cli.Command("data", "", module.__name__),))
    assert cli.main(["data", "fetch", "--help", "telco"]) == 0
    assert seen == [["fetch", "--help", "telco"]]


@pytest.mark.parametrize("error", [DataError("telco.csv, row 3: bad"), BundleError("telco.csv, row 3: bad")])
def test_what_a_user_can_mend_is_a_message_and_status_2(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    assert cli.guarded(raising(error)) == 2
    assert capsys.readouterr() == ("", "error: telco.csv, row 3: bad\n")


def test_ctrl_c_ends_with_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guarded(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_sigterm_ends_with_status_143_and_leaves_no_temporary_file() -> None:
    code = (
        "import sys, tempfile, time\nfrom retentionjax import cli\ndef action():\n"
        "    with tempfile.TemporaryDirectory() as folder:\n        print(folder, flush=True)\n        time.sleep(60)\n"
        "sys.exit(cli.guarded(action))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.terminate()
        assert process.wait(30) == 143
    assert not folder.exists()


def test_a_full_disk_is_a_message_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/demo/model")
    assert cli.guarded(raising(full)) == 2
    assert capsys.readouterr().err == "error: runs/demo/model: No space left on device\n"


@pytest.mark.parametrize("defect", [KeyError("x"), ZeroDivisionError(), FileNotFoundError(errno.ENOENT, "no", "x")])
def test_a_defect_keeps_its_traceback(defect: Exception) -> None:
    with pytest.raises(type(defect)):
        cli.guarded(raising(defect))


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    code = "import sys; from retentionjax import cli; sys.exit(cli.guarded(lambda: print('x\\n' * 1_000_000)))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()


WITH_VERBS = [command for command in cli.COMMANDS if "{" in command.help]


@pytest.mark.parametrize("command", WITH_VERBS, ids=lambda command: command.name)
def test_the_list_of_commands_names_every_verb(command: cli.Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command.name, "--help"])
    listed = re.findall(r"^    ([a-z-]+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    (named,) = re.findall(r"\{(.*)\}", command.help)
    assert sorted(named.split(",")) == sorted(listed)

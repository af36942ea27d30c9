"""The `retentionjax` command. Each sub-command imports what it needs when it runs, so that `--help` is instant."""

import argparse
import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from retentionjax import __version__
from retentionjax.errors import RetentionJaxError

# What the operating system refuses for reasons a user can mend; any other OSError is a defect of ours.
_MENDABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Command:
    """A sub-command: its name, one line of help, and the module whose `main(arguments)` runs it."""

    name: str
    help: str
    module: str


COMMANDS = (
    Command("train", "from files to bundle and report: train company.yaml [--out DIR]", "experiments.train"),
    Command(
        "data",
        "check a company's files, list and fetch public ones: data {check,list,fetch,prepare}",
        "retentionjax.data.command",
    ),
    Command("models", "base models: models {list,fetch,export}", "retentionjax.language.models_command"),
    Command("decide", "decide about one customer: --bundle DIR --customer FILE.json", "retentionjax.decide.command"),
    Command("effects", "what contacts and offers do: effects company.yaml [--out DIR]", "retentionjax.effects.command"),
    Command(
        "pilot", "plan a randomised trial: pilot company.yaml [--customers N]", "retentionjax.effects.pilot_command"
    ),
    Command("submit", "run all stages, here or on Vertex AI: submit PRESET", "experiments.launch.submit"),
    Command("evaluate", "compare a bundle's policy with the rules", "retentionjax.evaluation.command"),
    Command("ope", "value a bundle's policy on logged decisions", "retentionjax.evaluation.off_policy.command"),
    Command("score", "decide about a table: --bundle DIR --customers IN --out DIR", "retentionjax.score.command"),
    Command("report", "a run as one HTML page: --run DIR [--out FILE]", "retentionjax.evaluation.report.command"),
    Command(
        "messages",
        "texts that customers are sent: messages {check,propose,list,approve,refuse,retire}",
        "serving.wordings_command",
    ),
    Command("keys", "API keys of the service: keys {create,list,revoke}", "serving.keys_command"),
    Command(
        "ledger",
        "the service's ledger: ledger {export,show,erase,purge,audit,forget-bundles}",
        "serving.ledger_command",
    ),
    Command(
        "bundle",
        "inspect, check, promote a bundle: bundle {inspect,verify,promote,rollback,history,recalibrate,card}",
        "retentionjax.bundle.command",
    ),
    Command(
        "monitor",
        "compare what happened with what was predicted: --bundle DIR --database URL",
        "serving.monitor_command",
    ),
    Command("lift", "what a campaign changed, against its hold-out: --database URL", "serving.lift_command"),
    Command("serve", "the service: decisions over HTTP, a ledger, a console: --bundle DIR", "serving.command"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 2 for what the user can mend, 130 for Ctrl-C, 143 for
    SIGTERM."""
    return guarded(lambda: _dispatch(sys.argv[1:] if arguments is None else arguments))


def guarded(action: Callable[[], int | None]) -> int:
    """Runs `action` and turns what a user can mend into a message on stderr and an exit status.

    RetentionJaxError and a full, read-only or forbidden disk: 2; Ctrl-C: 130; a reader that went away (`| head`):
    141, and SIGTERM 143, as the shell would say. Everything else is a defect of ours and keeps its traceback.
    """
    try:
        with _clearing_up():
            return action() or 0
    except _Terminated:
        return 128 + signal.SIGTERM
    except RetentionJaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush complains once more
        return 141
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        print(f"error: {error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 2


class _Terminated(BaseException):
    """SIGTERM has come."""


@contextlib.contextmanager
def _clearing_up() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that its temporary files go and what it writes is whole or not there.

    By itself Python would end at once and leave them. Only the main thread may say so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _dispatch(arguments: Sequence[str]) -> int | None:
    modules = {command.name: command.module for command in COMMANDS}
    if not arguments or arguments[0] not in modules:
        _parser().parse_args(arguments)  # help, version, or an error that lists the commands: each ends the program
        raise AssertionError("unreachable")
    outcome: int | None = importlib.import_module(modules[arguments[0]]).main(list(arguments[1:]))
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retentionjax",
        description="Whom to contact, with which offer, and when, under a budget.",
        epilog="`retentionjax COMMAND --help` says more about one.",
    )
    parser.add_argument("--version", action="version", version=f"retentionjax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.help)
    return parser


if __name__ == "__main__":
    sys.exit(main())

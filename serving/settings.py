"""All settings of the service, in one place: flags over environment over defaults, checked once.

A setting `some_name` is the flag `--some-name` and the variable `RETENTIONJAX_SOME_NAME`. A text may also come from a
file that `RETENTIONJAX_SOME_NAME_FILE` names, as container secrets do.
"""

import argparse
import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from retentionjax.decide.draws import HOLDOUT, MOST_HELD_OUT
from retentionjax.errors import ConfigError

PREFIX = "RETENTIONJAX_"


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number: low ≤ value ≤ high, in `unit`."""

    low: float
    high: float = math.inf
    unit: str = ""

    def __str__(self) -> str:
        reach = f"{self.low:g} or more" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"
        return f"{reach} {self.unit}".rstrip()


def _setting(default: Any, meaning: str, bounds: Bounds | None = None, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"meaning": meaning, "bounds": bounds, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator can set. Money in the company's currency, times as their unit says."""

    bundle: str = _setting(
        "", "the bundle that decides: a folder, gs://…, a finished run with one, or a pointer; required"
    )
    host: str = _setting("127.0.0.1", "the address to listen on")
    port: int = _setting(8080, "the port to listen on; 0: any free port", Bounds(0, 65535))
    workers: int = _setting(1, "processes; each compiles its own bundle and they share the ledger", Bounds(1, 64))
    database: str = _setting(
        "sqlite:///retentionjax-ledger.db", "the ledger: sqlite:///FILE or postgresql://…", secret=True
    )
    campaign_customers: int | None = _setting(
        None,
        "first start: creates a campaign `default` for this many customers, at the bundle's limit for each",
        Bounds(1),
    )
    campaign_budget: float | None = _setting(
        None, "first start: its budget, if it is not customers × limit", Bounds(0, 1e9, "the company's currency")
    )
    campaign_holdout: float = _setting(
        HOLDOUT, "first start: share of its customers whom it never contacts", Bounds(0, MOST_HELD_OUT)
    )
    exploration: float = _setting(
        0.0, "share of decisions drawn evenly from all allowed actions, to learn from", Bounds(0, 1)
    )
    messages: Literal["template", "model"] = _setting(
        "template", "who proposes wordings beside the checked template: people, or the bundle's language model as well"
    )
    approve: Literal["person", "shield"] = _setting(
        "person", "who approves what the model proposes: a person, or the shield that has passed it"
    )
    batch_wait_ms: float = _setting(2.0, "longest wait for a micro-batch to fill", Bounds(0, 100, "ms"))
    queue_size: int = _setting(1024, "decisions that may wait; more are refused with 503", Bounds(1, 100_000))
    deadline_ms: float = _setting(
        2000.0, "a decision not made within this time is refused and not written", Bounds(1, 60_000, "ms")
    )
    reservation_days: float = _setting(
        14.0, "money reserved for an offer is released if no outcome arrives within this time", Bounds(0, 365, "days")
    )
    retention_days: float = _setting(
        400.0, "decisions older than this are deleted, their money kept", Bounds(60, 3660, "days")
    )
    canary_window: int = _setting(200, "decisions over which the canary is judged", Bounds(10, 1_000_000))
    canary_error_rate: float = _setting(0.02, "share of errors above which the canary is taken back", Bounds(0, 1))
    canary_p99_ms: float = _setting(
        250.0, "99th percentile of its latency above which it is taken back", Bounds(1, 60_000, "ms")
    )
    canary_block_rate: float = _setting(0.05, "share of blocked messages above which it is taken back", Bounds(0, 1))
    rate: float = _setting(
        2000.0, "requests per second that one key may make to each worker; 0: any number", Bounds(0, 1e6, "/s")
    )
    rate_burst: float = _setting(
        4000.0, "requests that it may make to each worker at once, after a pause", Bounds(1, 1e6)
    )
    key_cache_seconds: float = _setting(
        5.0,
        "how long a verified key is trusted without asking the ledger, and a revoked key may still work",
        Bounds(0, 300, "s"),
    )
    session_hours: float = _setting(8.0, "how long a console session lasts", Bounds(0.1, 168, "h"))
    console_secret: str = _setting(
        "", "signs console sessions; empty: drawn at each start, which ends all sessions", secret=True
    )
    console_examples: str = _setting(
        "", "a folder of customers (JSON, as `retentionjax decide` reads) to try in the console"
    )
    webhook: str = _setting("", "an address, http(s)://…, that messages are posted to when they are due", secret=True)
    webhook_secret: str = _setting("", "signs what is posted to the webhook", secret=True)
    secure_cookies: bool = _setting(False, "session cookies over HTTPS only; set it behind TLS")  # noqa: FBT003
    open_metrics: bool = _setting(False, "/metrics without a key, for a scraper in a closed network")  # noqa: FBT003
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "the lowest level that is logged")
    drain_seconds: float = _setting(
        20.0, "at shutdown, how long decisions under way may still take", Bounds(0, 600, "s")
    )

    def __post_init__(self) -> None:
        """Raises ConfigError naming the setting, its value and what is allowed."""
        for each in dataclasses.fields(self):
            _check(each, getattr(self, each.name))
        if not self.bundle:
            raise ConfigError("--bundle is missing; allowed: a folder, gs://… or a pointer to a bundle")
        if not self.database.startswith(("sqlite:///", "postgresql://")):
            scheme = self.database.partition(":")[0]  # never the rest: it may hold a password
            raise ConfigError(f"database is {scheme!r}:…; allowed: sqlite:///FILE or postgresql://…")
        if self.webhook and not _is_address(self.webhook):
            allowed = "http://HOST… or https://HOST…, without a user, a password or spaces, in ASCII (%XX for the rest)"
            raise ConfigError(f"webhook is {_place(self.webhook)}; allowed: {allowed}")
        if self.console_secret and len(self.console_secret) < 32:
            raise ConfigError("console_secret is short; allowed: 32 characters or more, or none")


def _is_address(url: str) -> bool:
    """Whether messages can be posted there."""
    try:
        parts = urlsplit(url)
        # Not with a password, which urllib would take for a part of the host's name.
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
            and _PATH.fullmatch(f"{parts.path}?{parts.query}") is not None
        )
    except ValueError:  # a port that is none
        return False


_PATH = re.compile("[!-~]+")  # what HTTP can say


def _place(url: str) -> str:
    """Scheme and host of what should be an address; the rest may hold a secret."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "no address"
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    host = authority.rpartition("@")[2]
    return repr(f"{scheme}://{host[: host.find(']') + 1] or host.partition(':')[0]}")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings by flags, environment and defaults, in this order. Raises ConfigError for one that is wrong."""
    found = _from_environment(environment)
    flags = vars(_parser().parse_args(list(arguments)))
    given = {name: value for name, value in flags.items() if value is not None}
    return Settings(
        **{**found, **{name: _read(_FIELDS[name], value, f"--{_dashed(name)}") for name, value in given.items()}}
    )


def database(flag: str | None, environment: Mapping[str, str]) -> str:
    """The ledger's URL, for commands that need no other setting: the flag over the environment over the default."""
    return flag or _from_environment(environment).get("database", Settings.database)


def hand_on(settings: Settings, environment: MutableMapping[str, str]) -> None:
    """Puts the variables into `environment` from which `parse` reads the same settings, for processes of ours."""
    for each in dataclasses.fields(settings):
        name, value = PREFIX + each.name.upper(), getattr(settings, each.name)
        for variable in (name, f"{name}_FILE"):  # what a file said has been read
            environment.pop(variable, None)
        if value is not None:
            environment[name] = str(value)


def table() -> list[tuple[str, str, str]]:
    """(flag, default, meaning) of every setting, as the documentation shows them."""
    rows = []
    for each in _FIELDS.values():
        bounds, choices = each.metadata["bounds"], _choices(each)
        allowed = f" ({bounds})" if bounds else f" ({', '.join(choices)})" if choices else ""
        default = "" if each.default in (None, "") else str(each.default).lower().removesuffix(".0")
        name = PREFIX + each.name.upper() if each.name in _NO_FLAG else f"--{_dashed(each.name)}"
        rows.append((name, default, each.metadata["meaning"] + allowed))
    return rows


_FIELDS = {each.name: each for each in dataclasses.fields(Settings)}
_TYPES = typing.get_type_hints(Settings)
_NO_FLAG = {"console_secret", "webhook_secret"}  # command lines are seen by everybody on the machine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retentionjax serve",
        description="Serves decisions, with a ledger that remembers them.",
        epilog="Each flag is also a variable, RETENTIONJAX_…, and texts can come from files, RETENTIONJAX_…_FILE. "
        "--demo: the demonstration that comes with the package, with a ledger that is gone at the end.",
    )
    for flag, default, meaning in table():
        name = flag.removeprefix("--").replace("-", "_")
        if name not in _FIELDS:  # has no flag
            continue
        switch = {"action": "store_const", "const": "true"} if _TYPES[name] is bool else {"metavar": name.upper()}
        shown = f" [{default}]" if default else ""
        parser.add_argument(flag, help=(meaning + shown).replace("%", "%%"), **switch)  # type: ignore[arg-type]
    return parser


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, each in _FIELDS.items():
        variable = PREFIX + name.upper()
        value, file = environment.get(variable), environment.get(f"{variable}_FILE")
        if value is not None and file is not None:
            raise ConfigError(f"{variable} and {variable}_FILE are both set; allowed: one of them")
        if file is not None:
            try:
                value = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"{variable}_FILE is {file}: {type(error).__name__}; allowed: a readable file"
                ) from None
        if value is not None:
            found[name] = _read(each, value, variable)
    return found


def _read(each: "dataclasses.Field[Any]", text: str, where: str) -> Any:
    kind = _TYPES[each.name]
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"{where} is {text!r}; allowed: true, false")
        return text.lower() == "true"
    if kind not in (int, float):
        return text
    convert: Callable[[str], float] = kind
    try:
        return convert(text)
    except ValueError:
        raise ConfigError(f"{where} is {text!r}; allowed: {each.metadata['bounds']}") from None


def _check(each: "dataclasses.Field[Any]", value: Any) -> None:
    bounds, choices = each.metadata["bounds"], _choices(each)
    if bounds is not None and value is not None and not bounds.low <= value <= bounds.high:
        raise ConfigError(f"{each.name} is {value!r}; allowed: {bounds}")
    if choices and value not in choices:
        raise ConfigError(f"{each.name} is {value!r}; allowed: {', '.join(choices)}")


def _choices(each: "dataclasses.Field[Any]") -> tuple[str, ...]:
    kind = _TYPES[each.name]
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _dashed(name: str) -> str:
    return name.replace("_", "-")

"""Settings: flags over environment over defaults, each checked, secrets from files and never shown."""

import contextlib
import dataclasses
import time
from pathlib import Path
from unittest import mock

import pytest

from retentionjax.bundle import pointer
from retentionjax.bundle.manifest import gate_advice
from retentionjax.errors import ConfigError
from serving import command, settings
from serving.command import kept_programs
from serving.first_start import prepare
from serving.ledger import Ledger
from serving.settings import Settings, hand_on, parse


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    found = parse(["--bundle", "b", "--port", "1"], {"RETENTIONJAX_PORT": "2", "RETENTIONJAX_QUEUE_SIZE": "3"})
    assert (found.port, found.queue_size, found.host) == (1, 3, "127.0.0.1")


def test_a_text_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:pw@h/d\n")
    found = parse(["--bundle", "b"], {"RETENTIONJAX_DATABASE_FILE": str(tmp_path / "url")})
    assert found.database == "postgresql://u:pw@h/d"
    assert "pw" not in repr(found)


@pytest.mark.parametrize("pointed", [False, True])
def test_the_service_knows_its_bundle_by_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, pointed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").touch()
    monkeypatch.setattr(pointer, "pointed_to", lambda _: bundle if pointed else None)
    prepare = mock.Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(command, "_prepare", prepare)
    with pytest.raises(KeyboardInterrupt):
        command._run(Settings(bundle="bundle"), "")
    assert prepare.call_args.args[0].bundle == str(bundle)


def test_worker_processes_read_the_same_settings(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:pw@h/d\n")
    environment = {
        "RETENTIONJAX_DATABASE_FILE": str(tmp_path / "url"),
        "RETENTIONJAX_CAMPAIGN_BUDGET": "5",
        "HOME": "h",
    }
    given = Settings(
        bundle="b", database="postgresql://u:pw@h/d", rate=7.5, campaign_customers=10, secure_cookies=True,
        messages="model",
    )  # fmt: skip
    hand_on(given, environment)
    assert parse([], environment) == given
    assert environment["HOME"] == "h"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        ([], {}, "--bundle is missing"),
        (["--bundle", "b", "--port", "70000"], {}, "port is 70000; allowed: 0 to 65535"),
        (["--bundle", "b", "--port", "x"], {}, "--port is 'x'"),
        (["--bundle", "b", "--rate", "nan"], {}, "rate is nan"),
        (["--bundle", "b", "--messages", "poem"], {}, "allowed: template, model"),
        (["--bundle", "b", "--database", "mysql://u:pw@h/d"], {}, "database is 'mysql'"),
        (["--bundle", "b"], {"RETENTIONJAX_OPEN_METRICS": "yes"}, "RETENTIONJAX_OPEN_METRICS is 'yes'"),
        (["--bundle", "b"], {"RETENTIONJAX_CONSOLE_SECRET": "short"}, "console_secret is short"),
        (["--bundle", "b"], {"RETENTIONJAX_HOST": "h", "RETENTIONJAX_HOST_FILE": "f"}, "are both set"),
        (["--bundle", "b", "--webhook", "http://"], {}, "webhook is 'http://'; allowed: http://HOST"),
        (
            ["--bundle", "b", "--webhook", "https://u:pw@host:pw/pw?pw#pw"],
            {},
            "webhook is 'https://host'; allowed: http",
        ),
        (["--bundle", "b", "--webhook", "https://u:pw@host/"], {}, "webhook is 'https://host'; allowed: http"),
        (["--bundle", "b", "--webhook", "ftp://[::1]:21/pw"], {}, "webhook is 'ftp://[::1]'"),
        (["--bundle", "b", "--webhook", "https://host/a b"], {}, "in ASCII (%XX for the rest)"),
        (["--bundle", "b", "--webhook", "https://host/é?pw"], {}, "webhook is 'https://host'; allowed: http"),
        (["--bundle", "b", "--webhook", "hooks.example/pw"], {}, "webhook is no address; allowed: http://HOST"),
        (["--bundle", "b"], {"RETENTIONJAX_HOST_FILE": "/nowhere"}, "RETENTIONJAX_HOST_FILE is /nowhere"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    arguments: list[str], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(arguments, environment)
    assert named in str(caught.value)
    assert "pw" not in str(caught.value)


def test_secrets_are_no_flags() -> None:
    flags = [name for name, _, _ in settings.table()]
    assert "RETENTIONJAX_CONSOLE_SECRET" in flags
    with pytest.raises(SystemExit):
        parse(["--bundle", "b", "--console-secret", "x" * 40], {})


def test_what_is_compiled_is_kept_beside_the_ledger_or_in_the_users_cache(tmp_path: Path) -> None:
    beside = kept_programs(f"sqlite:///{tmp_path}/ledger.db", {})
    cached = kept_programs("postgresql://a@b/c", {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    folders = [Path(each["JAX_COMPILATION_CACHE_DIR"]) for each in (beside, cached)]
    assert folders == [tmp_path / "ledger.db.programs", tmp_path / "cache/retentionjax/programs"]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700]
    assert kept_programs("sqlite:///ledger.db", {"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}) == {}
    assert kept_programs("sqlite:////dev/null/ledger.db", {}) == {}  # nowhere to write: compiled at each start


def test_the_budget_of_the_first_campaign_is_exact(checked: Path, tmp_path: Path) -> None:
    flags = ["--bundle", str(checked), "--campaign-customers", "10", "--campaign-budget", "2.01"]
    with contextlib.closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=time.time)) as ledger:
        made = prepare(ledger, parse(flags, {})).campaign
    assert made is not None
    assert made.budget_micros == 2_010_000


def test_a_start_warns_of_a_bundle_that_contacts_nobody(checked: Path, tmp_path: Path) -> None:
    with contextlib.closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=time.time)) as ledger:
        made = prepare(ledger, parse(["--bundle", str(checked)], {}))
    assert made.advice == ""
    assert not [line for line in command._first_words(made) if "WARNING" in line]
    advice = gate_advice({"waits": 1.0, "gate_probability": 0.64, "gate_minimum": 0.9})
    *_, last = command._first_words(dataclasses.replace(made, advice=advice))
    assert last.startswith("WARNING: This bundle contacts nobody")
    assert "64%" in last

"""API keys: shown once, kept as a hash, compared in constant time; and the switches beside them."""

import hashlib
import re
from pathlib import Path

import pytest
from ledger_rows import FrozenClock

from retentionjax.cli import main
from serving.ledger import Ledger, LedgerError
from serving.ledger.types import BundleSlot, Slots


def test_a_key_lets_its_owner_in_until_it_is_revoked(ledger: Ledger, clock: FrozenClock) -> None:
    with ledger.transaction() as tx:
        key, token = tx.create_key("shop", "decide")
    clock.now += 60
    with ledger.read() as reader:
        assert reader.authenticate(token) == key
    with ledger.transaction() as tx:
        tx.used_keys({key.key_id: clock.now})
        tx.used_keys({key.key_id: clock.now - 30})  # another process, behind
        tx.revoke_key(key.key_id)
        tx.revoke_key(key.key_id)
    with ledger.read() as reader:
        assert reader.authenticate(token) is None
        (listed,) = reader.api_keys()
    assert (listed.name, listed.role, listed.last_used_at, listed.revoked_at) == (
        "shop",
        "decide",
        clock.now,
        clock.now,
    )
    with pytest.raises(LedgerError, match="nothing"), ledger.transaction() as tx:
        tx.revoke_key("nothing")
    with pytest.raises(LedgerError, match="role is 'god'; allowed: decide, report, admin"), ledger.transaction() as tx:
        tx.create_key("shop", "god")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["", "  ", "shop\nadmin", "shop\r", "a\tb", "a\x1b[2Jb", "a\x7f", "a\u2028b", "a\u202eb"]
)
def test_a_key_whose_owner_s_name_is_no_line_of_text_is_not_made(
    ledger: Ledger, database: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "--role", "decide", "--name", name, "--database", database]) == 2
    said = capsys.readouterr()
    assert f"name is {name!r}; allowed: one line of printable text" in said.err
    assert said.out == ""
    with ledger.read() as reader:
        assert reader.api_keys() == []


def test_nothing_but_the_whole_token_is_a_key(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        key, token = tx.create_key("shop", "decide")
    other = "rj_0123456789abcdef_" + "A" * 43  # of the right shape, and nobody's
    secret = token.removeprefix(f"rj_{key.key_id}_")
    wrong = ["", "rj_", secret, key.key_id, token[:-1], token + "A", token.upper(), f"rj_{key.key_id}_{secret[::-1]}"]
    wrong += [other, other.replace("0123456789abcdef", key.key_id), f" {token}", f"{token}\n", "\x00" * 64]
    with ledger.read() as reader:
        assert [reader.authenticate(each) for each in wrong] == [None] * len(wrong)


def test_a_secret_has_256_bits_and_only_its_hash_is_kept(tmp_path: Path, clock: FrozenClock) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    with ledger.transaction() as tx:
        tokens = [tx.create_key("shop", "admin")[1] for _ in range(20)]
    ledger.close()
    secrets = [token.rpartition("_")[2] if token.count("_") == 2 else token.split("_", 2)[2] for token in tokens]
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in secrets:
        assert len(secret) == 43  # 256 bits in base64
        assert secret.encode() not in content
        assert hashlib.sha256(secret.encode()).digest() in content
    assert len(set(secrets)) == 20


def test_the_kill_switch_and_the_slots_are_what_was_set_last(ledger: Ledger) -> None:
    slots = Slots(BundleSlot("a", "/a"), BundleSlot("b", "gs://b"), 0.25, None)
    with ledger.read() as reader:
        assert (reader.kill_switch(), reader.slots()) == ("policy", Slots())
    with ledger.transaction() as tx:
        tx.set_kill_switch("baseline")
        tx.set_kill_switch("never")
        tx.set_slots(slots)
    with ledger.read() as reader:
        assert (reader.kill_switch(), reader.slots()) == ("never", slots)
    with pytest.raises(LedgerError, match="kill switch is 'off'"), ledger.transaction() as tx:
        tx.set_kill_switch("off")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match=r"canary_weight is 1\.5; allowed: 0 to 1"), ledger.transaction() as tx:
        tx.set_slots(Slots(canary_weight=1.5))
    with pytest.raises(LedgerError, match="status is 'yes'"), ledger.transaction() as tx:
        tx.set_consent("ann", "email", "yes", source="form")  # type: ignore[arg-type]


def test_a_kill_switch_that_is_not_understood_is_no_permission(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.run("INSERT INTO switches (name, value, changed_at) VALUES ('kill_switch', 'half', 0)")
    with pytest.raises(LedgerError, match="'half'"), ledger.read() as reader:
        reader.kill_switch()


def test_keys_from_the_command_line(ledger: Ledger, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    def say(*arguments: str) -> str:
        assert main(["keys", *arguments, "--database", database]) == 0
        return capsys.readouterr().out

    made = say("create", "--role", "report", "--name", "Dashboards")
    token = made.splitlines()[-1]
    with ledger.read() as reader:
        key = reader.authenticate(token)
    assert key is not None
    assert key.role == "report"
    listed = say("list")
    assert re.search(rf"^{key.key_id}  report .* -  +-  +Dashboards$", listed, re.MULTILINE)
    assert token not in listed
    assert "revoked" in say("revoke", key.key_id)
    with ledger.read() as reader:
        assert reader.authenticate(token) is None


def test_the_ledger_from_the_command_line(
    ledger: Ledger, database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger_rows import decision, record

    record(ledger, decision("ann"), decision("ben", contact=False))
    monkeypatch.setenv("RETENTIONJAX_DATABASE", database)
    assert main(["ledger", "export", "--out", str(tmp_path / "log.parquet")]) == 0
    assert "2 decisions" in capsys.readouterr().out
    assert main(["ledger", "erase", "--customer", "ben"]) == 0
    assert main(["ledger", "purge", "--retention-days", "60"]) == 0
    assert main(["ledger", "audit", "--cooldown-days", "7"]) == 0
    assert "the books are right" in capsys.readouterr().out
    with ledger.transaction() as tx:
        tx.run("UPDATE campaigns SET reserved_micros = reserved_micros - 1")
    assert main(["ledger", "audit"]) == 1
    assert "campaign spring: reserved_micros is" in capsys.readouterr().out
    assert main(["ledger", "purge", "--retention-days", "5"]) == 2
    assert "allowed: 60 or more" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["keys", "list"], ["ledger", "audit"]])
def test_a_ledger_that_is_not_there_is_not_made(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--database", f"sqlite:///{tmp_path}/ledger.db"]) == 2
    assert "there is no ledger at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

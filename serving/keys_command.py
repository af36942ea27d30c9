"""`retentionjax keys {create,list,revoke}`: API keys of the service.

A key is shown once, when it is made; the ledger keeps a hash. Roles: decide (decisions, outcomes, consent), report
(looks only), admin (everything).
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from serving.ledger.types import ApiKey, Role
from serving.ledger_command import database_flag, opened
from serving.moments import utc

if TYPE_CHECKING:
    from serving.ledger import Ledger


def main(arguments: Sequence[str]) -> int:
    """Runs `keys` with `arguments`; raises LedgerError or ConfigError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax keys", description=__doc__)
    place = database_flag()
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = verbs.add_parser("create", parents=[place], help="create a key and show it once")
    create.add_argument("--role", choices=get_args(Role), required=True)
    create.add_argument("--name", required=True, help="the owner's name")
    verbs.add_parser("list", parents=[place], help="list all keys, without their secrets")
    verbs.add_parser("revoke", parents=[place], help="revoke a key").add_argument("key_id", metavar="ID")
    parsed = parser.parse_args(list(arguments))
    with opened(parsed) as ledger:
        if parsed.verb == "create":
            _create(ledger, parsed.name, parsed.role)
        elif parsed.verb == "revoke":
            _revoke(ledger, parsed.key_id)
        else:
            _list(ledger)
    return 0


def _create(ledger: "Ledger", name: str, role: Role) -> None:
    with ledger.transaction() as tx:
        key, token = tx.create_key(name, role)
        tx.changed("command line", f"key {key.key_id}", f"made for {name}, role {role}")
    print(f"key {key.key_id} of {key.name}, role {key.role}; shown this once:")
    print(token)


def _revoke(ledger: "Ledger", key_id: str) -> None:
    with ledger.transaction() as tx:
        tx.revoke_key(key_id)
        tx.changed("command line", f"key {key_id}", "revoked")
    print(f"key {key_id} is revoked; a running service forgets it within seconds")


def _list(ledger: "Ledger") -> None:
    with ledger.read() as reader:
        keys = reader.api_keys()
    print(f"{'id':<16}  {'role':<6}  {'created':<16}  {'last used':<16}  {'revoked':<16}  name")
    for key in keys:
        print(_line(key))


def _line(key: ApiKey) -> str:
    times = "  ".join(f"{_moment(at):<16}" for at in (key.created_at, key.last_used_at, key.revoked_at))
    return f"{key.key_id:<16}  {key.role:<6}  {times}  {key.name}"


def _moment(at: float | None) -> str:
    return "-" if at is None else utc(at).strftime("%Y-%m-%d %H:%M")

"""The whole service when things break: real processes, real sockets, SIGKILL, a database that goes, crowds of clients.

What must hold: no acknowledged decision is lost, nobody is contacted twice, a retry is answered the same, and the money
spent is the sum of the ledger to the micro-unit and within the budget. Who is held out is not contacted.
"""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import postgres_server
import pytest
from service_process import Client, Load, Sent, Service, together

from retentionjax.decide.draws import place
from serving.ledger import Ledger
from serving.ledger.types import DAY, MICROS, Campaign

CUSTOMERS = [f"customer-{number}" for number in range(60)]
COOLDOWN_DAYS = 7
HOLDOUT, SALT = 0.2, "storm"
DRAINED = {0, 128 + signal.SIGTERM}  # with several workers uvicorn keeps the signal to itself


@pytest.fixture(scope="module")
def bundle(checked: Path) -> Path:
    """A bundle that contacts readily."""
    return checked


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgres_server.Server]:
    """A PostgreSQL server that tests here may stop and start."""
    with postgres_server.running() as server:
        yield server


def campaign(name: str, dollars: float, holdout: float = HOLDOUT) -> Campaign:
    return Campaign(name, int(dollars * MICROS), time.time() - DAY / 2, 90, 100, holdout=holdout, salt=SALT)


def prepared(database: str, dollars: float) -> tuple[Ledger, str]:
    """The ledger with a campaign and everybody's consent, and a token."""
    ledger = Ledger.open(database, clock=time.time)
    with ledger.transaction() as tx:
        tx.put_campaign(campaign("default", dollars))
        _, token = tx.create_key("clients", "decide")
    consent(ledger, CUSTOMERS)
    return ledger, token


def consent(ledger: Ledger, customers: Sequence[str]) -> None:
    with ledger.transaction() as tx:
        for customer in customers:
            for channel in ("sms", "email", "push"):
                tx.set_consent(customer, channel, "granted", source="test")


def check(ledger: Ledger, sent: Sequence[Sent]) -> None:
    """The books are right, each acknowledged decision is there as it was answered, and all hold out the same."""
    with ledger.read() as reader:
        assert reader.audit(cooldown_days=COOLDOWN_DAYS) == []
        for each in sent:
            if each.answer.status != 200:
                continue
            found = reader.decision(each.answer.json["decision_id"])
            assert found is not None, f"{each.answer.json['decision_id']} was acknowledged and is not there"
            assert found.response is not None
            assert json.loads(found.response) == each.answer.json
            assert found.customer_id == each.customer
            held_out = place(SALT, each.customer) < HOLDOUT
            assert each.answer.json["reason"] == ("holdout" if held_out else "policy")
            assert not held_out or each.answer.json["decision"] == "wait"


def ended(number: int, seconds: float = 60.0) -> bool:
    """Whether the process ends within that time."""
    give_up = time.monotonic() + seconds
    while Path(f"/proc/{number}").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    return not Path(f"/proc/{number}").exists()


def retry(service: Service, token: str, sent: Sequence[Sent]) -> list[Sent]:
    """Asks everything again: what was answered is answered the same, what was not is answered now."""
    client, answers = Client(service, token), []
    for each in sent:
        again = client.decide(each.customer, key=each.key)
        assert again.status == 200, again
        if each.answer.status == 200:
            assert (again.body, again.replayed) == (each.answer.body, True)
        answers.append(Sent(each.customer, each.key, again))
    return answers


def kill_again_and_again(service: Service, ledger: Ledger, token: str, times: int, seed: int) -> None:
    draw = random.Random(seed)
    acknowledged: list[Sent] = []
    broken = 0
    for _ in range(times):
        load = Load([service], token, CUSTOMERS)
        time.sleep(draw.uniform(0.05, 1.0))
        engine = service.engine()
        service.kill()
        sent = load.stop()
        assert ended(engine)
        assert {each.answer.status for each in sent} <= {0, 200}
        check(ledger, sent)
        answered = [each for each in sent if each.answer.status == 200]
        cut = [each for each in sent if each.answer.status == 0][:16]  # those under way, and some that met nobody
        broken += len(cut)
        service.start()
        acknowledged += retry(service, token, draw.sample(answered, min(len(answered), 40)) + cut)
        retry(service, token, draw.sample(acknowledged, min(len(acknowledged), 20)))
        check(ledger, acknowledged)
    assert len(acknowledged) > times
    assert broken > 0
    with ledger.read() as reader:
        view = reader.campaign("default")
    assert view is not None
    assert 0 < view.spent_micros + view.reserved_micros <= view.budget_micros


@contextlib.contextmanager
def one_service(bundle: Path, database: str, log: Path) -> Iterator[tuple[Service, Ledger, str]]:
    """A service that has started, its ledger and a token; in the end it drains and its books are right."""
    ledger, token = prepared(database, 40.0)
    service = Service(bundle, database, log)
    service.start()
    yield service, ledger, token
    assert service.stop() in DRAINED
    check(ledger, [])
    ledger.close()


@contextlib.contextmanager
def services_of(count: int, bundle: Path, database: str, folder: Path) -> Iterator[tuple[list[Service], Ledger, str]]:
    """`count` service processes on one database."""
    ledger, token = prepared(database, 40.0)
    services = [Service(bundle, database, folder / f"log {number}") for number in range(count)]
    for service in services:
        service.start()  # one after the other: the second reads what the first compiled
    yield services, ledger, token
    assert {service.stop() for service in services} <= DRAINED
    ledger.close()


def started_on_postgres(count: int) -> Any:
    """A fixture of so many service processes on one PostgreSQL."""

    @pytest.fixture(scope="module")
    def started(
        bundle: Path, postgres: postgres_server.Server, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[list[Service], Ledger, str]]:
        with services_of(count, bundle, postgres.new_database(), tmp_path_factory.mktemp("services")) as services:
            yield services

    return started


one, pair = started_on_postgres(1), started_on_postgres(2)


@pytest.fixture(scope="module", params=["one", pytest.param("pair", marks=pytest.mark.slow)])
def several(request: pytest.FixtureRequest) -> tuple[list[Service], Ledger, str]:
    """One by day, for each takes a quarter of a minute to start, and two at night."""
    found: tuple[list[Service], Ledger, str] = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def alone(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Ledger, str]]:
    """A service to be killed; where there is no PostgreSQL one on SQLite, as in the slow test."""
    if postgres_server.binaries() is not None:
        services, ledger, token = request.getfixturevalue("one")
        yield services[0], ledger, token
        return
    folder = tmp_path_factory.mktemp("alone")
    with one_service(bundle, f"sqlite:///{folder}/ledger.db", folder / "log") as started:
        yield started


@pytest.mark.slow
def test_a_service_that_is_killed_loses_nothing_that_it_acknowledged(alone: tuple[Service, Ledger, str]) -> None:
    kill_again_and_again(*alone, times=1, seed=1)


@pytest.mark.slow
def test_an_engine_that_is_killed_loses_nothing_that_was_acknowledged(alone: tuple[Service, Ledger, str]) -> None:
    draw = random.Random(3)
    service, ledger, token = alone
    load = Load([service], token, CUSTOMERS)
    time.sleep(1.0 + draw.uniform(0.0, 0.5))
    engine = service.engine()
    os.kill(engine, signal.SIGSTOP)  # the sockets say that it is there, and it says nothing
    assert (service.get("/readyz").status, service.get("/healthz").status) == (503, 200)
    os.kill(engine, signal.SIGKILL)
    time.sleep(0.5)
    assert (service.get("/readyz").status, service.get("/healthz").status) == (503, 200)
    service.wait_until_ready()
    assert service.engine() != engine
    time.sleep(0.5)
    sent = load.stop()
    assert {each.answer.status for each in sent} == {200, 503}
    types = {each.answer.json["type"].rpartition("/")[2] for each in sent if each.answer.status == 503}
    assert {each.rpartition(":")[2] for each in types} == {"engine-lost", "not-running"}
    check(ledger, sent)
    retry(service, token, [each for each in sent if each.answer.status == 503][:20] + sent[:20])
    check(ledger, sent)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_service_killed_fifty_times_loses_nothing_that_it_acknowledged(
    bundle: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    database = f"sqlite:///{tmp_path}/ledger.db"
    if kind == "postgres":
        database = request.getfixturevalue("postgres").new_database()
    with one_service(bundle, database, tmp_path / "log") as started:
        kill_again_and_again(*started, times=50, seed=2)


@pytest.mark.slow
def test_two_services_on_one_database_keep_the_same_promises(pair: tuple[list[Service], Ledger, str]) -> None:
    services, ledger, token = pair
    load = Load(services, token, CUSTOMERS)
    time.sleep(2.0)
    sent = load.stop()
    assert {each.answer.status for each in sent} == {200}
    assert len(sent) > len(services)  # how many more is the machine's affair
    check(ledger, sent)
    other_way_round = Client(services[0], token), Client(services[1], token)
    for number, each in enumerate(sent[:40]):  # whichever process answered first, both give the same answer
        again = [client.decide(each.customer, key=each.key) for client in other_way_round]
        assert [answer.body for answer in again] == [each.answer.body] * 2, number


def test_sixty_four_clients_on_one_customer_get_one_contact(several: tuple[list[Service], Ledger, str]) -> None:
    services, ledger, token = several
    with ledger.transaction() as tx:
        tx.put_campaign(campaign("crowd", 1000.0, holdout=0.0))
    consent(ledger, ["darling"])
    clients = [Client(services[number % len(services)], token) for number in range(64)]
    answers = together([lambda client=each: client.decide("darling", "crowd") for each in clients])  # type: ignore[misc]
    assert [answer.status for answer in answers] == [200] * 64
    assert sum(answer.json["decision"] == "contact" for answer in answers) == 1
    check(ledger, [])


def test_sixty_four_clients_on_the_last_ten_dollars_never_overspend(
    several: tuple[list[Service], Ledger, str],
) -> None:
    services, ledger, token = several
    customers = [f"hunter-{number}" for number in range(192)]
    with ledger.transaction() as tx:
        tx.put_campaign(campaign("last", 10.0))
    consent(ledger, customers)

    def ask(number: int) -> list[Sent]:
        client = Client(services[number % len(services)], token)
        return [Sent(each, "", client.decide(each, "last")) for each in customers[number::64]]

    found: list[list[Sent]] = [[] for _ in range(64)]

    def run(number: int):  # type: ignore[no-untyped-def]
        found[number] = ask(number)
        return found[number][0].answer

    together([lambda number=number: run(number) for number in range(64)])  # type: ignore[misc]
    sent = [each for part in found for each in part]
    assert [each.answer.status for each in sent] == [200] * 192
    check(ledger, sent)
    with ledger.read() as reader:
        view = reader.campaign("last")
    assert view is not None
    reserved = sum(each.answer.json["reserved_micros"] for each in sent)
    assert view.spent_micros + view.reserved_micros == reserved <= view.budget_micros
    assert view.left_micros < 5 * MICROS  # it was fought for


@pytest.mark.parametrize("seconds", [2.0, pytest.param(10.0, marks=pytest.mark.slow)])
def test_a_database_that_goes_means_503_until_it_is_back(
    several: tuple[list[Service], Ledger, str], postgres: postgres_server.Server, seconds: float
) -> None:
    services, ledger, token = several
    load = Load(services, token, CUSTOMERS, clients=4)
    time.sleep(0.5)
    postgres.stop()
    time.sleep(seconds)
    refused = Client(services[0], token).decide(CUSTOMERS[0])
    ready = services[0].get("/readyz")
    alive = services[0].get("/healthz")
    postgres.start()
    for service in services:
        service.wait_until_ready(60)
    time.sleep(0.5)
    sent = load.stop()
    assert (refused.status, refused.kind) == (503, "application/problem+json")
    assert (ready.status, alive.status) == (503, 200)
    assert {each.answer.status for each in sent} == {200, 503}
    assert [Client(service, token).decide(CUSTOMERS[1]).status for service in services] == [200] * len(services)
    check(ledger, sent)

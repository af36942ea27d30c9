"""What strangers send too much of, or too slowly, is refused at once and costs no memory."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import peak_memory
import pytest
import served_app
from served_app import FACTS, Running

from serving.security import connections
from serving.security.bodies import BODY_LIMIT
from serving.security.connections import Awaited

MEGABYTES = 32


@contextlib.contextmanager
def connected(service: Running) -> Iterator[socket.socket]:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as made:
        yield made


def answered(made: socket.socket) -> bytes:
    """All that comes until the other side closes or is silent."""
    parts = []
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while part := made.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def send(made: socket.socket, *parts: bytes) -> None:
    """Sends until the other side wants no more."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for part in parts:
            made.sendall(part)


GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
PIECE = b"x" * 2**20
FLOODS = {
    "one header": (431, [GET + b"X-A: ", *[PIECE] * MEGABYTES, b"\r\n\r\n"]),
    "many headers": (431, [GET, *[b"X-A: " + b"x" * 1000 + b"\r\n"] * 1000 * MEGABYTES, b"\r\n"]),
    "small headers, too many": (431, [GET, *[b"X-A: x\r\n"] * 101, b"\r\n"]),
    "a URL": (414, [b"GET /", *[PIECE] * MEGABYTES, b" HTTP/1.1\r\n\r\n"]),
    "trailers": (413, [b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
                       *[PIECE] * MEGABYTES]),
    "a body that says so": (413, [b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"]),
}  # fmt: skip


def flooded(service: Running, parts: list[bytes]) -> bytes:
    with connected(service) as made:
        send(made, *parts)
        return answered(made)


@pytest.mark.parametrize(("status", "parts"), FLOODS.values(), ids=FLOODS)
def test_a_flood_without_a_key_is_refused_and_not_kept(service: Running, status: int, parts: list[bytes]) -> None:
    found = flooded(service, parts)  # before memory is measured: a service's first answer imports what it needs
    refused = found.startswith(f"HTTP/1.1 {status} ".encode())
    # A request without a key may be refused for that before its body has come.
    assert refused or (status == 413 and found.startswith(b"HTTP/1.1 401 ")) or not found
    # What a service that has just started prepares beside it takes memory too, but not each time.
    assert any(peak_memory.growth(lambda: flooded(service, parts)) < MEGABYTES / 2 for _ in range(5))
    with service.client(None) as client:
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"X-A: " + b"x" * 80_000, 431),
        (b"GET /" + b"x" * 10_000, 414),
        (b"GET /?" + b"x" * 100_000, 431),
    ],
)
def test_a_head_is_refused_before_it_ends(service: Running, head: bytes, status: int) -> None:
    with connected(service) as made:
        for start in range(0, len(head), 16_384):
            send(made, head[start : start + 16_384])
            time.sleep(0.02)
        assert made.recv(100).startswith((f"HTTP/1.1 {status} ".encode(), b"HTTP/1.1 414 "))


def test_a_body_that_will_be_too_long_is_refused_before_it_comes(service: Running) -> None:
    key = service.keys["decide"].encode()
    head = b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{"
    with connected(service) as made:
        begun = time.monotonic()
        send(made, head % (key, BODY_LIMIT + 1))
        assert made.recv(100).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b"408"),
        (GET, b"408"),
        (b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\nContent-Length: 50\r\n\r\n{", b"408"),
    ],
)
def test_a_request_that_never_ends_is_ended(
    service: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    for each in Awaited:
        monkeypatch.setitem(connections.SECONDS, each, 0.3)
    with connected(service) as made:
        send(made, sent.replace(b"KEY", service.keys["decide"].encode()))
        assert answered(made).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("come_at_once", [False, True])
def test_connections_that_say_nothing_make_room_for_those_that_ask(
    service: Running, monkeypatch: pytest.MonkeyPatch, come_at_once: bool
) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    if come_at_once:  # as in one turn of a loop, whose clock stands still in it
        monkeypatch.setattr(connections.LimitedProtocol, "waits_since", 0.0)
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(service))
        with service.client("decide") as client:
            asked = client.post("/v1/decisions", json={"customer_id": "room", "facts": FACTS})
        assert asked.status_code == 200


def test_requests_after_one_another_on_one_connection_are_each_answered(service: Running) -> None:
    """A long body and the next request's head may come in one piece; neither counts for the other."""
    long = b" " * 200_000
    post = b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(long), long)
    with connected(service) as made:
        send(made, (post + GET + b"\r\n") * 2 + GET + b"Connection: close\r\n\r\n")
        found = answered(made)
    assert found.count(b"HTTP/1.1 401 ") == 2
    assert found.count(b"HTTP/1.1 200 ") == 3


SETTINGS = b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
OFFERS = {
    "HTTP/2, as Java's client": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + SETTINGS,
    "a websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "TLS": b"connection: keep-alive, upgrade\r\nUPGRADE: TLS/1.2\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("pieces", [1, 2, 999])
def test_an_offer_of_another_protocol_is_passed_over_and_the_body_is_read(
    service: Running, offer: bytes, pieces: int
) -> None:
    body = json.dumps({"customer_id": "offers", "facts": FACTS}).encode()
    head = b"POST /v1/decisions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\n" % service.keys["decide"].encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    whole = head + offer + b"Content-Length: %d\r\n\r\n%b" % (len(body), body) + head + offer + chunked
    whole += GET + offer + b"\r\n" + GET + b"Connection: close\r\n\r\n"
    size = -(-len(whole) // pieces)
    with connected(service) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send(made, *(whole[place : place + size] for place in range(0, len(whole), size)))
        found = answered(made)
    assert found.count(b"HTTP/1.1 200 ") == 4, found
    assert found.count(b'"customer_id":"offers"') == 2


def test_what_is_wrong_with_a_request_is_said(service: Running) -> None:
    faults = {
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n": "Content-Length",
        b"GET / HTTP/9.9\r\n\r\n": "version",
        b"BREW / HTTP/1.1\r\n\r\n": "method",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": "given twice",
    }
    for request, word in faults.items():
        with connected(service) as made:
            send(made, request)
            head, _, body = answered(made).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert word in json.loads(body)["detail"]


def test_head_is_answered_wherever_get_is(service: Running) -> None:
    with service.client("admin") as client:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/campaigns/default", "/console/sign-in", "/nowhere"):
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path


def test_a_header_that_may_stand_once_is_refused_twice(service: Running) -> None:
    body = {"customer_id": "twice", "facts": FACTS}
    token = f"Bearer {service.keys['decide']}"
    with service.client(None) as client:
        for name, value in {"Idempotency-Key": "a", "Authorization": token, "Content-Type": "application/json"}.items():
            given = [("Authorization", token), ("Content-Type", "application/json"), (name, value)]
            if name == "Idempotency-Key":
                given.append((name, "b"))
            answer = client.post("/v1/decisions", json=body, headers=given)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, name)


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=utf-8; charset=utf-8", 415),
        ("application/json; charset=latin-1", 415),
        ("application/jsonx", 415),
    ],
)
def test_a_body_has_one_charset(service: Running, media_type: str, status: int) -> None:
    with service.client("decide") as client:
        answer = client.post(
            "/v1/decisions:simulate",
            content=httpx.Request("POST", "http://a", json={"facts": FACTS}).content,
            headers={"Content-Type": media_type},
        )
    assert answer.status_code == status
    if status == 415:
        fault = {"field": "Content-Type", "value": json.dumps(media_type)}
        assert answer.json()["errors"] == [fault | {"allowed": "application/json, with no charset or utf-8"}]


def test_a_whole_number_is_one_however_it_is_written(service: Running) -> None:
    with service.client("admin") as client:
        path = "/v1/campaigns/whole-number"
        made = client.put(path, json={"budget_micros": 1e6, "customers_expected": 10, "horizon_days": 90.0})
        assert (made.status_code, made.json()["horizon_days"]) == (200, 90)
        refused = client.put(path, json={"budget_micros": 1e6, "customers_expected": 10, "horizon_days": 90.5})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "horizon_days")


def test_one_setting_of_a_campaign_is_changed_by_itself_and_a_new_one_needs_its_size(service: Running) -> None:
    """Whoever pauses it in a hurry need not know its budget, and writes over nobody's change of it."""
    with service.client("admin") as client:
        path = "/v1/campaigns/in-parts"
        refused = client.put(path, json={"paused": True})
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == ["budget_micros", "customers_expected"]
        assert client.put(path, json={"budget_micros": 10**6, "customers_expected": 10}).status_code == 200
        for change in ({"paused": True}, {"budget_micros": 2 * 10**6}, {"customers_expected": 20}, {"paused": False}):
            changed = client.put(path, json=change)
            assert changed.status_code == 200, changed.text
        found = changed.json()
    assert (found["budget_micros"], found["customers_expected"], found["paused_at"]) == (2 * 10**6, 20, None)


def test_a_campaign_that_is_over_is_neither_paused_nor_resumed_unless_it_is_given_more_days(service: Running) -> None:
    path, size = "/v1/campaigns/long-over", {"budget_micros": 10**6, "customers_expected": 10}
    with service.client("admin") as client, served_app.session(service, "admin") as console:
        over = client.put(path, json={**size, "starts_at": "2020-01-01T00:00:00Z", "horizon_days": 30}).json()
        refused = client.put(path, json={"paused": True})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:retentionjax:problem:campaign-over")
        assert refused.json()["errors"][0]["field"] == "paused"
        form = {"csrf": served_app.csrf(console), "campaign_id": "long-over", "pause": "yes"}
        old_page = console.post("/console/campaigns", data=form)
        assert (old_page.status_code, "The campaign is over" in old_page.text) == (409, True)
        assert client.put(path, json={"paused": False}).json() == over, "which it is not"
        late = client.put(path, json={"starts_at": "2026-01-01T00:00:00Z", "horizon_days": 366, "paused": True})
        assert (late.status_code, late.json()["paused_at"] is None) == (200, False)


@pytest.mark.parametrize("zone", ["localtime", "Factory", "posixrules", "posix/Europe/Berlin", "../../etc/passwd"])
def test_what_is_no_place_is_no_time_zone(service: Running, zone: str) -> None:
    with service.client("decide") as client:
        asked = client.post("/v1/decisions", json={"customer_id": "z", "facts": FACTS, "time_zone": zone})
        said = {"channel": "sms", "status": "granted", "time_zone": zone}
        set_ = client.put("/v1/customers/z/consent", json=said)
    for answer in (asked, set_):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "time_zone")


@pytest.mark.parametrize("region", ["XX", "us-fl", "Bavaria", "US-ZZ", ""])
def test_a_region_without_hours_is_refused_with_those_that_have_them(service: Running, region: str) -> None:
    with service.client("decide") as client:
        asked = client.post("/v1/decisions", json={"customer_id": "z", "facts": FACTS, "region": region})
        said = {"channel": "sms", "status": "granted", "region": region}
        set_ = client.put("/v1/customers/z/consent", json=said)
    for answer in (asked, set_):
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["field"]) == (422, "region")
        assert "AU, BR" in error["allowed"]


def test_one_bad_row_of_a_batch_is_refused_and_the_others_are_made(service: Running) -> None:
    good = {"customer_id": "row", "facts": FACTS}
    bad = {
        "time_zone": {**good, "time_zone": "Mars/Olympus"},
        "customer_id": {**good, "customer_id": "a b"},
        "channel": {**good, "channel": "fax"},
        "facts": {"customer_id": "row"},
        "facts.months": {**good, "facts": {**FACTS, "months": "many"}},
        "campaign_id": {**good, "campaign_id": "none-such"},
        "unknown": {**good, "unknown": 1},
        "": 7,
    }
    rows = [row for each in bad.values() for row in (good, each)]
    with service.client("decide") as client:
        answer = client.post("/v1/decisions:batch", json={"decisions": rows}).json()
    assert (answer["decided"], answer["refused"]) == (len(bad), len(bad))
    fields = [each["problem"]["errors"][0]["field"] for each in answer["results"][1::2]]
    assert fields == [f"decisions[{2 * place + 1}].{field}".rstrip(".") for place, field in enumerate(bad)]
    assert all("decision" in each for each in answer["results"][::2])


@pytest.mark.parametrize("path", ["/v1/decisions:batch", "/v1/decisions:batch/"])
def test_what_python_writes_and_json_has_no_word_for_costs_its_row_only(service: Running, path: str) -> None:
    bad = [float("nan"), float("inf"), "half \ud800", float("-inf")]
    good = {"customer_id": "row", "facts": FACTS, "first_name": '}, [{" é'}
    rows = [row for each in bad for row in (good, {**good, "facts": {**FACTS, "months": each}})]
    with service.client("decide") as client:
        answer = client.post(path, content=json.dumps({"decisions": rows}, indent=1)).json()
    assert (answer["decided"], answer["refused"]) == (len(bad), len(bad))
    for place, result in enumerate(answer["results"]):
        assert ("problem" in result) == (place % 2 == 1)
        if "problem" in result:
            assert result["problem"]["type"] == "urn:retentionjax:problem:malformed-json"
            assert result["problem"]["errors"][0]["field"] == f"decisions[{place}].facts.months"


def test_a_batch_that_is_no_json_is_refused_whole(service: Running) -> None:
    """Where rows begin and end is not known then: one must not be taken for another."""
    good = json.dumps({"customer_id": "row", "facts": FACTS})
    with service.client("decide") as client:
        for rows in (f"{good} {good}", f"{good},", f'{good}, {{"customer_id": }}', "NaN]}{[", ""):
            answer = client.post("/v1/decisions:batch", content=f'{{"decisions": [NaN, {rows}]}}')
            assert answer.status_code == 400, rows
        many = json.dumps({"decisions": [float("nan")] * 1001})
        assert client.post("/v1/decisions:batch", content=many).status_code == 400
        both = f'{{"decisions": [NaN, {good}], "decisions": [{good}]}}'
        assert client.post("/v1/decisions:batch", content=both).status_code == 400


@pytest.mark.parametrize(
    "path", ["/console/?example=%00", "/v1/decisions/%00", "/v1/campaigns/a?x=%00", "/console/campaigns?campaign=a%00b"]
)
def test_the_character_zero_in_an_address_is_refused(service: Running, path: str) -> None:
    with service.client("admin") as client:
        assert client.get(path).status_code in (404, 422)

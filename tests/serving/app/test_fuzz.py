"""Whatever fits the description is accepted, whatever does not is refused, nothing is answered that it does not list.

schemathesis makes the requests from the service's own OpenAPI document and applies all of its checks. One of them is
stated here more narrowly: a request that fits may be refused only for what no schema can say.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
import served_app
from schemathesis.generation import GenerationMode
from served_app import Running

# What no schema can say: which zones there are, which years a moment may lie in, whether a history could have happened,
# an Idempotency-Key's past, what belongs together.
BEYOND_A_SCHEMA = re.compile(
    r"time_zone|region|history.*|overrides.*|vary.*|path|weight|Idempotency-Key|pilot.*|starts_at|at|"
    r"variants\[\d+\]\.(offer|text)"
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Running]:
    """A service that may be left in any state."""
    with served_app.serve(tmp_path_factory.mktemp("fuzz"), bundle) as running:
        yield running


@pytest.fixture(scope="module")
def api(own: Running) -> Any:
    headers = {"Authorization": f"Bearer {own.keys['admin']}"}
    return schemathesis.openapi.from_url(f"{own.url}/schema/openapi.json", headers=headers)


OPERATIONS = (
    "decide", "decideMany", "simulate", "readDecision", "explainDecision", "reportOutcomes", "readConsent",
    "putConsent", "readCustomerLedger", "readCampaign", "putCampaign", "listBundles", "activateBundle",
    "readKillSwitch", "putKillSwitch", "listDueContacts", "reportSentContacts", "alive", "ready", "metrics", "readLift",
    "listCampaigns", "listVariants", "proposeVariants", "decideVariant",
)  # fmt: skip


# A row of a batch that does not fit is refused in its place, and the answer to the whole is 200.
_ROWS = """
[checks]
positive_data_acceptance.enabled = false

[[operations]]
include-name = ["POST /v1/decisions:batch", "POST /v1/outcomes"]
checks.negative_data_rejection.enabled = false
"""


def every_check(own: Running, examples: int, phases: str, folder: Path) -> None:
    """schemathesis with all checks, but for the one that is stated below."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{own.url}/schema/openapi.json",
        "--header", f"Authorization: Bearer {own.keys['admin']}", "--max-examples", str(examples), "--seed", "1",
        "--phases", phases, "--no-color",
    ]  # fmt: skip
    (folder / "schemathesis.toml").write_text(_ROWS)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(OPERATIONS)}" in done.stdout


def test_the_description_holds(own: Running, tmp_path: Path) -> None:
    every_check(own, 2, "examples,fuzzing", tmp_path)


@pytest.mark.slow
def test_the_description_holds_for_long(own: Running, tmp_path: Path) -> None:
    every_check(own, 150, "examples,coverage,fuzzing,stateful", tmp_path)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_fits_is_refused_only_for_what_no_schema_can_say(own: Running, api: Any, name: str) -> None:
    operation = api.find_operation_by_id(name)
    headers = {"Authorization": f"Bearer {own.keys['admin']}"}

    @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @hypothesis.settings(max_examples=12, suppress_health_check=list(hypothesis.HealthCheck))
    def accepted(case: Any) -> None:
        answer = case.call(headers=headers)
        assert answer.status_code in {200, 404, 409, 422}
        if answer.status_code == 422:
            assert all(map(_beyond_a_schema, answer.json()["errors"])), f"it fits and is refused: {answer.text}"

    accepted()


def _beyond_a_schema(error: dict[str, str]) -> bool:
    of_a_new_one = error.get("allowed", "").startswith("required of a new campaign")  # and left out of a change
    return of_a_new_one or BEYOND_A_SCHEMA.fullmatch(error["field"]) is not None


def test_the_ledger_is_sound_after_all_that(own: Running) -> None:
    with own.ledger.read() as view:
        assert view.audit() == []

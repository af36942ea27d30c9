"""What no cloud account is needed to know of the Terraform: it parses, is formatted, refers to what exists, and lets
nobody in who was not named."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.observability.metrics import Metrics

hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 of the extra dev is not installed")
FOLDER = Path(__file__).parents[2] / "scripts/deploy/terraform"
FILES = sorted(FOLDER.glob("*.tf"))
TEXT = {path.name: path.read_text() for path in FILES}
ALL = "\n".join(TEXT.values())


def unquoted(value: Any) -> Any:
    """Parsed HCL without the quotes that the parser keeps."""
    if isinstance(value, dict):
        return {unquoted(key): unquoted(item) for key, item in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    return value[1:-1] if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"' else value


PARSED = {name: unquoted(hcl2.loads(text)) for name, text in TEXT.items()}


def blocks(kind: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """(labels, body) of every block of a kind."""
    labels = {"resource": 2, "data": 2, "variable": 1, "output": 1, "locals": 0}[kind]
    for parsed in PARSED.values():
        for block in parsed.get(kind, []):
            yield from _descend(block, labels)


def _descend(block: dict[str, Any], depth: int) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if depth == 0:
        yield (), block
        return
    for label, inner in block.items():
        for labels, body in _descend(inner, depth - 1):
            yield (label, *labels), body


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {labels[1]: body for labels, body in blocks("resource") if labels[0] == kind}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (str(key), *strings(item))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


def test_every_file_parses_and_there_are_some() -> None:
    assert len(FILES) >= 10
    assert len(list(blocks("resource"))) > 25


def test_it_is_formatted() -> None:
    if shutil.which("terraform") is None:
        pytest.skip("no terraform here to run `terraform fmt -check`")
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", str(FOLDER)], capture_output=True, text=True, check=False, cwd=FOLDER
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_indentation_is_two_spaces(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        assert "\t" not in line, f"{path.name}:{number}"
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0, f"{path.name}:{number}"
        assert line == line.rstrip(), f"{path.name}:{number}"


def test_every_variable_is_described_typed_validated_and_used() -> None:
    for (name,), body in blocks("variable"):
        assert body.get("description", "").endswith((".", "…")), name
        assert "type" in body, name
        assert body.get("validation"), f"{name} takes any value"
        for validation in body["validation"]:
            assert validation["error_message"], name
        uses = len(re.findall(rf"\bvar\.{name}\b", re.sub(r'variable ".*?^}', "", ALL, flags=re.DOTALL | re.MULTILINE)))
        assert uses, f"{name} is never used"


def test_the_cost_of_a_month_is_what_the_price_lists_add_up_to(tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("no terraform here to evaluate cost.tf")
    for name in ("cost.tf", "variables.tf"):  # they need no provider, hence no network
        shutil.copy(FOLDER / name, tmp_path)
    image = f"us-docker.pkg.dev/p/retentionjax/serving@sha256:{'0' * 64}"

    def estimated(**values: str) -> dict[str, float]:
        given = [f"-var={name}={value}" for name, value in {"project": "my-project", "image": image, **values}.items()]
        for command in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve", *given]):
            done = subprocess.run(["terraform", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        shown = subprocess.run(
            ["terraform", "output", "-json"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return dict(json.loads(shown.stdout)["monthly_cost"]["value"])

    database = 2 * (730 * (0.0413 + 3.75 * 0.0070) + 10 * 0.17)
    instance = 730 * 3600 * (2 * 18e-6 + 4 * 2e-6)
    assert estimated() == {"least": math.ceil(database), "most": math.ceil(database + 10 * instance)}
    assert estimated(database="false", instances="{min=0, max=1}") == {"least": 0, "most": math.ceil(instance)}
    small = 2 * (730 * 0.0105 + 1.7)
    kept = estimated(database_tier="db-f1-micro", instances="{min=1, max=1}", cpu="1", memory_gib="2")
    assert kept["least"] == kept["most"] == math.ceil(small + 730 * 3600 * (18e-6 + 2 * 2e-6))


def test_every_output_is_described_and_its_value_refers_to_what_is_made() -> None:
    found = dict(blocks("output"))
    assert found
    for (name,), body in found.items():
        assert body.get("description", "").endswith("."), name
        assert re.search(r"google_|local\.", str(body["value"])), name


def test_every_output_and_variable_is_mentioned_where_one_reads_how_to_deploy() -> None:
    guide = (FOLDER.parent / "README.md").read_text()
    for (name,), _ in blocks("output"):
        assert f"output -raw {name}" in guide or f"output {name}" in guide or f"`{name}`" in guide, name


def test_every_reference_leads_somewhere() -> None:
    made = {f"{kind}.{name}" for (kind, name), _ in blocks("resource")}
    for reference in set(re.findall(r"\b((?:google|random)_\w+\.\w+)", ALL)):
        assert reference in made or f"data.{reference}" in ALL, reference
    known_locals = {key for _, body in blocks("locals") for key in body if not key.startswith("__")}
    assert set(re.findall(r"\blocal\.(\w+)", ALL)) == known_locals, "each local value is defined, and used"
    variables = {labels[0] for labels, _ in blocks("variable")}
    assert set(re.findall(r"\bvar\.(\w+)", ALL)) <= variables
    for account in set(re.findall(r'google_service_account\.this\["(\w+)"\]', ALL)):
        assert f"\n    {account} " in TEXT["identities.tf"], account
    for bucket in set(re.findall(r'google_storage_bucket\.this\["(\w+)"\]', ALL)):
        assert f"\n    {bucket} " in TEXT["storage.tf"], bucket


def test_nobody_is_let_in_who_was_not_named() -> None:
    config = re.sub(r"error_message\s*=.*", "", ALL)
    assert "allUsers" not in config
    assert "allAuthenticatedUsers" not in config
    members = [body["member"] for (kind, _), body in blocks("resource") if kind.endswith("_iam_member")]
    assert members
    for member in members:
        assert re.search(r"\.member\b|each\.value|^principalSet://", str(member)), member
    assert not any(kind.endswith(("_iam_binding", "_iam_policy")) for (kind, _), _ in blocks("resource")), (
        "they overwrite"
    )


@pytest.mark.parametrize(
    ("member", "allowed"),
    [
        ("group:retention@example.com", True),
        ("serviceAccount:caller@project.iam.gserviceaccount.com", True),
        ("allUsers", False),
        ("allAuthenticatedUsers", False),
        ("domain:example.com", False),
        ("user:*", False),
    ],
)
def test_the_validation_of_invokers_refuses_everybody(member: str, allowed: bool) -> None:
    rule = re.search(r'variable "invokers".*?regex\("(.*?)", member\)', TEXT["variables.tf"], re.DOTALL)
    assert rule is not None
    assert bool(re.match(rule[1], member)) is allowed
    (default,) = [body["default"] for (name,), body in blocks("variable") if name == "invokers"]
    assert default == []


def test_roles_are_narrow() -> None:
    roles = set(re.findall(r'"(roles/[\w.]+)"', ALL))
    assert len(roles) > 8
    assert not roles & {"roles/owner", "roles/editor", "roles/viewer"}
    assert not any("*" in role for role in roles)
    wide = {role for role in roles if role.lower().endswith("admin")}
    assert wide == {"roles/ondemandscanning.admin"}, "on-demand scanning knows no narrower one"
    by_account = re.findall(r'account = "server",(?: bucket = "\w+",)? role = "(roles/[\w.]+)"', TEXT["identities.tf"])
    assert "roles/storage.objectViewer" in by_account, "the service reads bundles"
    assert not any("objectUser" in role or "objectAdmin" in role for role in by_account), "and writes none"


def test_no_key_of_a_service_account_is_made() -> None:
    assert not resources("google_service_account_key")


def test_buckets_are_closed_and_their_contents_do_not_live_for_ever() -> None:
    (bucket,) = resources("google_storage_bucket").values()
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["force_destroy"] is False
    assert re.findall(r"^    (\w+) += { versions", TEXT["storage.tf"], re.MULTILINE) == [
        "data",
        "runs",
        "sources",
        "bundles",
    ]
    assert "lifecycle_rule" in bucket


def test_the_service_scales_to_ten_and_is_probed() -> None:
    (default,) = [body["default"] for (name,), body in blocks("variable") if name == "instances"]
    assert default == {"min": 0, "max": 10}
    service = TEXT["service.tf"]
    for probe, path in (("startup_probe", "/readyz"), ("liveness_probe", "/healthz")):
        assert re.search(rf'{probe} {{.*?path = "{path}"', service, re.DOTALL)
    assert "max_instance_request_concurrency = var.concurrency" in service


def test_secrets_come_as_files_and_only_to_those_who_need_them() -> None:
    assert "RETENTIONJAX_DATABASE_FILE" in TEXT["service.tf"]
    assert "secret_key_ref" not in ALL, "an environment variable is seen by whoever may look at the revision"
    assert re.search(r'ledger-url\s+= toset\(\["server", "watcher"\]\)', TEXT["secrets.tf"])
    assert "secretmanager" not in TEXT["identities.tf"], "no project-wide right to read secrets"


def test_the_database_is_backed_up_encrypted_and_open_to_no_network() -> None:
    (database,) = resources("google_sql_database_instance").values()
    text = TEXT["database.tf"]
    assert "authorized_networks" not in text
    assert 'ssl_mode     = "ENCRYPTED_ONLY"' in text
    assert "point_in_time_recovery_enabled = true" in text
    assert "deletion_protection" in database


def test_alerts_ask_for_metrics_that_the_service_has() -> None:
    exposed = Metrics().exposition().decode()
    names = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
    asked = set(re.findall(r"retentionjax_\w+", TEXT["monitoring.tf"]))
    asked = {name for name in asked if not name.startswith("retentionjax_monitor")}
    assert len(asked) >= 8
    for name in asked:
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert {name, family, name.removesuffix("_total")} & names, name


def test_there_is_an_alert_for_each_thing_that_goes_wrong() -> None:
    for what in ("5xx", "p99", "shield-blocks", "budget-pace", "drift", "daily comparison"):
        assert what in TEXT["monitoring.tf"]
    for threshold in ("errors", "p99_ms", "blocks", "budget", "drift"):
        assert f"var.alert_thresholds.{threshold}" in TEXT["monitoring.tf"]
    assert resources("google_billing_budget")
    assert resources("google_monitoring_dashboard")


def test_money_that_is_reserved_counts_as_used() -> None:
    (query,) = re.findall(r'budget-pace = \{\s+query = "(.*)"', TEXT["monitoring.tf"])
    assert r"sum without (state) (retentionjax_campaign_dollars{state=~\"spent|reserved\"}) /" in query


def test_each_query_is_balanced_promql() -> None:
    queries = re.findall(
        r'^\s+(?:query|"[^"]+")\s+= "((?:[^"\\]|\\.)*retentionjax_(?:[^"\\]|\\.)*)"$',
        TEXT["monitoring.tf"],
        re.MULTILINE,
    )
    assert len(queries) >= 10
    for query in queries:
        for left, right in ("()", "[]", "{}"):
            assert query.count(left) == query.count(right), query


def test_apis_are_enabled_for_what_is_used() -> None:
    (apis,) = [body["apis"] for _, body in blocks("locals") if "apis" in body]
    enabled = set(re.findall(r"([a-z]+)\.googleapis\.com", str(apis)))
    kinds = {kind.split("_")[1] for (kind, _), _ in blocks("resource") if kind.startswith("google_")}
    needed = {"artifact": "artifactregistry", "cloud": "run", "secret": "secretmanager", "sql": "sqladmin"}
    needed |= {"monitoring": "monitoring", "billing": "billingbudgets"}
    needed |= {"service": "iam", "project": "cloudresourcemanager"}  # accounts; bindings of a whole project
    for kind, api in needed.items():
        assert kind in kinds
        assert api in enabled
    assert "cloudbuild" in enabled, "scripts/deploy/cloudbuild.yaml"


def test_what_needs_an_api_waits_for_it() -> None:
    """Directly, or through another resource that does: references are followed."""
    bodies = {f"{kind}.{name}": str(body) for (kind, name), body in blocks("resource") if kind.startswith("google_")}
    waiting = {"google_project_service.api"}
    for _ in bodies:
        waiting |= {name for name, body in bodies.items() if any(re.search(rf"{each}\b", body) for each in waiting)}
    assert set(bodies) - waiting == set()


def test_providers_are_bounded_and_the_state_is_not_on_a_laptop() -> None:
    versions = TEXT["versions.tf"]
    assert re.search(r'source  = "hashicorp/google"\n\s+version = ">= 6\.\d+, < 7\.0"', versions), "one major"
    lock = hcl2.loads((FOLDER / ".terraform.lock.hcl").read_text())
    locked = {unquoted(name): unquoted(body) for entry in lock["provider"] for name, body in entry.items()}
    assert {name.split("/")[-1] for name in locked} == {"google", "random"}
    assert locked["registry.terraform.io/hashicorp/google"]["version"].startswith("6.")
    for body in locked.values():
        assert len(body["hashes"]) == 12
        assert all(re.fullmatch(r"zh:[0-9a-f]{64}", each) for each in body["hashes"])
    assert "user_project_override = true" in versions, "the budget's API wants a project to count calls in"
    assert 'backend "gcs"' in versions
    assert list(strings(PARSED["versions.tf"]))

"""The pipelines: both have the same stages, fit their schemas, trust nothing that can move; what they call works.

Played with stand-ins for Docker and gcloud, and against an HTTP server that answers as the service does.
"""

import http.server
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CI = ROOT / "scripts/deploy/ci"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CI_WORKFLOW = ROOT / ".github/workflows/ci.yml"
CLOUD_BUILD = ROOT / "scripts/deploy/cloudbuild.yaml"
STAGES = ["test.sh", "build.sh", "start.sh", "scan.sh", "sbom.sh", "push.sh", "canary.sh", "release.sh"]


def tool(name: str, *arguments: str | Path) -> None:
    """Runs a checker of the extra dev; skips, by name, where it is not installed."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} of the extra dev is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_fit_githubs_schema() -> None:
    assert WORKFLOWS
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_cloud_build_fits_its_schema() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.cloudbuild", CLOUD_BUILD)


def test_dependabot_fits_its_schema() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", ROOT / ".github/dependabot.yml")


def test_zizmor_finds_no_way_in() -> None:
    tool("zizmor", "--offline", "--pedantic", "--quiet", ROOT / ".github")


def test_yaml_is_tidy() -> None:
    rules = "{extends: default, rules: {line-length: {max: 140}, document-start: disable, truthy: {check-keys: false}, "
    rules += "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}"
    tool("yamllint", "--strict", "-d", rules, ".github", CLOUD_BUILD, ROOT / "experiments/launch/machines.yaml")


def test_scripts_pass_shellcheck() -> None:
    tool("shellcheck", *sorted(CI.glob("*.sh")), ROOT / "scripts/gpu_vm.sh")


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    for path in WORKFLOWS:
        for use in re.findall(r"uses: (.*)", path.read_text()):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_both_pipelines_have_the_same_stages_in_the_same_order() -> None:
    jobs = yaml.safe_load(CI_WORKFLOW.read_text())["jobs"]
    github = [step.get("run", "") for job in ("check", "deploy") for step in jobs[job]["steps"]]
    google = [" ".join(step["args"]) for step in yaml.safe_load(CLOUD_BUILD.read_text())["steps"]]
    for steps in (github, google):
        assert re.findall(r"scripts/(?:deploy/ci/)?(\w+\.sh)\b", "\n".join(steps)) == STAGES
    assert re.search(r"bash scripts/test\.sh --cov$", CI_WORKFLOW.read_text(), re.MULTILINE)
    assert "args: [scripts/test.sh, --cov]" in CLOUD_BUILD.read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"] >= 90


def test_each_step_of_cloud_build_has_the_programs_that_its_script_calls() -> None:
    """The builders' images: the large CLI image has docker, python3 and local-extract, the others have not."""
    large = {"docker", "gcloud", "python3", "bash"}
    programs = {"gcr.io/google.com/cloudsdktool/google-cloud-cli:latest": large, "python:3.11-bookworm": {"bash"}}
    for step in yaml.safe_load(CLOUD_BUILD.read_text())["steps"]:
        scripts = re.findall(r"scripts/deploy/ci/(\w+\.sh)", " ".join(step["args"]))
        wanted = {name for script in scripts for name in large if re.search(rf"\b{name} ", (CI / script).read_text())}
        assert wanted <= programs[step["name"]], step["id"]


def test_both_ends_of_the_supported_pythons_and_a_mac_are_tried() -> None:
    jobs = yaml.safe_load(CI_WORKFLOW.read_text())["jobs"]
    assert jobs["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert jobs["macos"]["runs-on"].startswith("macos-")


def test_a_release_is_built_and_tried_before_it_is_signed_and_published_by_a_tag() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert "bash scripts/wheel.sh dist" in [step.get("run") for step in jobs["build"]["steps"]]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["if"] == "github.event_name == 'push'"
    used = [step["uses"].split("@")[0] for step in jobs["publish"]["steps"] if "uses" in step]
    assert used[-2:] == ["actions/attest-build-provenance", "pypa/gh-action-pypi-publish"]


def test_a_deployment_waits_for_the_checks_and_holds_no_key() -> None:
    workflow = yaml.safe_load(CI_WORKFLOW.read_text())
    deploy = workflow["jobs"]["deploy"]
    assert set(deploy["needs"]) == {"check", "macos", "images"}
    assert workflow["permissions"] == {}
    assert deploy["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert "credentials_json" not in json.dumps(workflow)
    assert all(job["permissions"].get("contents") == "read" for job in workflow["jobs"].values())


# --- the scripts, played -----------------------------------------------------------------------------------------

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open(os.environ["SAID"], "a") as said:
    said.write(" ".join(words) + "\\n")
for pattern, answer in json.loads(Path(os.environ["ANSWERS"]).read_text()).items():
    if pattern in " ".join(words):
        sys.exit(answer) if isinstance(answer, int) else print(answer)
        break
"""
TRAFFIC = {
    "status": {
        "traffic": [
            {"revisionName": "retentionjax-1", "percent": 100},
            {"revisionName": "retentionjax-1", "tag": "previous"},
            {"revisionName": "retentionjax-2", "tag": "canary", "url": "https://canary---x.run.app"},
        ]
    }
}
ANSWERS: dict[str, Any] = {
    "run services describe": json.dumps(TRAFFIC),
    "images scan": "projects/p/scans/1",
    "images describe": 1,
    "docker inspect": f"r-docker.pkg.dev/p/retentionjax/serving@sha256:{'a' * 64}",
    "print-identity-token": "token",
}


class Stage:
    """A place where docker, gcloud and sleep only say what they were asked, and answer as told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.answers = folder, dict(ANSWERS)
        (folder / "bin").mkdir()
        for name in ("docker", "gcloud", "sleep"):
            (folder / "bin" / name).write_text(STAND_IN.format(python=sys.executable))
            (folder / "bin" / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers").write_text(json.dumps(self.answers))
        mine = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "ANSWERS": str(self.folder / "answers")}
        mine |= {"SAID": str(self.folder / "said"), "PROJECT": "p", "REGION": "r", "VERSION": "v1"}
        mine |= {"REGISTRY": "r-docker.pkg.dev/p/retentionjax"}
        command = ["bash", str(CI / script), *arguments]
        env = os.environ | mine | environment
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    @property
    def said(self) -> list[str]:
        path = self.folder / "said"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_an_image_is_built_scanned_and_pushed_under_its_digest(stage: Stage) -> None:
    for script in ("build.sh", "start.sh", "scan.sh", "sbom.sh", "push.sh"):
        done = stage.run(script, "serving")
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"r-docker.pkg.dev/p/retentionjax/serving@sha256:{'a' * 64}"
    (build,) = [line for line in stage.said if line.startswith("docker build")]
    assert "--file scripts/deploy/docker/serving.Dockerfile" in build
    runs = [line for line in stage.said if line.startswith("docker run")]
    assert all("--network none" in line for line in runs)
    (push,) = [line for line in stage.said if line.startswith("docker push")]
    assert stage.said.index(build) < stage.said.index(runs[0]) < stage.said.index(push)
    assert "gcloud auth configure-docker r-docker.pkg.dev --quiet" in stage.said


def test_a_repeated_run_takes_the_image_that_was_pushed_and_pushes_none(stage: Stage) -> None:
    stage.answers["images describe"] = "sha256:" + "a" * 64
    for script in ("build.sh", "start.sh", "scan.sh", "push.sh"):
        done = stage.run(script, "serving")
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"serving@sha256:{'a' * 64}")
    assert any(line.startswith("docker pull") for line in stage.said)
    assert not any(line.startswith(("docker build", "docker push")) for line in stage.said)


def test_the_digest_is_that_of_the_image_at_hand_or_there_is_none(stage: Stage) -> None:
    stage.answers["docker inspect"] = f"elsewhere/serving@sha256:{'b' * 64}"
    assert stage.run("push.sh", "serving").returncode != 0


def test_the_bill_of_materials_names_every_installed_package(tmp_path: Path) -> None:
    script = ROOT / "scripts/deploy/docker/sbom.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    versions = {each["purl"]: each["version"] for each in found["components"]}
    assert versions[f"pkg:pypi/jax@{importlib.metadata.version('jax')}"] == importlib.metadata.version("jax")
    assert len(versions) == len(found["components"]), "each is named once"
    names = {re.sub(r"[-_.]+", "-", each.name).lower() for each in importlib.metadata.distributions()}
    assert {each.split("@")[0] for each in versions if each.startswith("pkg:pypi/")} == {f"pkg:pypi/{n}" for n in names}


@pytest.mark.parametrize(("severity", "status"), [("CRITICAL", 1), ("HIGH", 1), ("MEDIUM", 0)])
def test_a_vulnerability_with_a_fix_stops_the_pipeline(stage: Stage, severity: str, status: int) -> None:
    stage.answers = {"list-vulnerabilities": f"{severity}\tCVE-2026-1", **stage.answers}
    done = stage.run("scan.sh", "serving")
    assert done.returncode == status
    assert ("CVE-2026-1" in done.stderr) == bool(status)


def test_a_canary_gets_no_traffic_and_comes_by_digest(stage: Stage) -> None:
    refused = stage.run("canary.sh", "serving:latest")
    assert refused.returncode == 2
    assert stage.said == []
    done = stage.run("canary.sh", "serving@sha256:0")
    assert done.stdout.splitlines()[-1] == "https://canary---x.run.app"
    (marked,) = [line for line in stage.said if "--update-tags" in line]
    (deployed,) = [line for line in stage.said if "run deploy" in line]
    assert "previous=retentionjax-1" in marked
    assert "--no-traffic --tag canary" in deployed
    assert stage.said.index(marked) < stage.said.index(deployed)


@pytest.mark.parametrize("released", [False, True])
def test_rolling_back_gives_all_traffic_to_what_served_before(stage: Stage, released: bool) -> None:
    entries = [
        {"revisionName": "retentionjax-1", "tag": "previous"},
        {"revisionName": "retentionjax-2", "tag": "canary", "percent": 100 if released else 5},
        *([] if released else [{"revisionName": "retentionjax-1", "percent": 95}]),
    ]
    stage.answers["run services describe"] = json.dumps({"status": {"traffic": entries}})
    assert stage.run("rollback.sh").returncode == 0
    assert "--to-revisions retentionjax-1=100" in stage.said[-1]
    assert stage.run("rollback.sh", "retentionjax-0").returncode == 0
    assert "--to-revisions retentionjax-0=100" in stage.said[-1]


# --- the smoke test and the release ------------------------------------------------------------------------------


class Service(http.server.ThreadingHTTPServer):
    """Answers as the decision service does, or as it is told."""

    answers: dict[str, int]
    bodies: list[Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(404, {"title": "kept by Cloud Run's front end"})
            return
        facts = {"examples": [{"plan": "basic", "bill": 12}]} if "no example" not in self.server.answers else {}
        schema = {"components": {"schemas": {"DecisionIn": {"properties": {"facts": facts}}}}}
        self._answer(self.server.answers.get(self.path, 200), schema if "openapi" in self.path else {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if self.headers.get("Authorization") != "Bearer secret":
            self._answer(401, {"title": "no key"})
        elif not body["facts"]:
            self._answer(self.server.answers.get("empty", 400), {"title": "facts are missing"})
        else:
            self._answer(self.server.answers.get(self.path, 200), {"action": {"name": "wait"}})

    def _answer(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service(("127.0.0.1", 0), Handler)
    server.answers, server.bodies = {}, []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def smoke(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CI / "smoke.py"), url, "--requests", "3"]
    env = os.environ | {"RETENTIONJAX_KEY": "secret"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_smoke_test_asks_for_decisions_and_changes_nothing(service: Service) -> None:
    done = smoke(service.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OK: 3 decisions, median ")
    assert all(body["dry_run"] is True for body in service.bodies)
    assert service.bodies[-1]["facts"] == {"plan": "basic", "bill": 12}, "the bundle's own customer"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"/readyz": 503}, "/readyz: status 503"),
        ({"/schema/openapi.json": 401}, "the schema: status 401"),
        ({"no example": 1}, "no example of a customer's facts"),
        ({"/v1/decisions": 500}, "a decision: status 500"),
        ({"empty": 200}, "a decision without facts: status 200"),
    ],
)
def test_the_smoke_test_says_what_is_wrong(service: Service, answers: dict[str, int], message: str) -> None:
    service.answers = answers
    done = smoke(service.url)
    assert done.returncode == 1
    assert message in done.stderr


def test_no_answer_is_a_failure() -> None:
    done = smoke("http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no answer" in done.stderr


def test_a_good_canary_gets_a_little_then_all_of_the_traffic(stage: Stage, service: Service) -> None:
    done = stage.run("release.sh", service.url, RETENTIONJAX_KEY="secret")
    assert done.returncode == 0, done.stderr
    moves = [line.split()[-2] for line in stage.said if "update-traffic" in line]
    assert moves == ["canary=5", "canary=100"]
    assert "sleep 300" in stage.said
    assert "released; rollback.sh goes back" in done.stdout
    (token, _) = [line for line in stage.said if "print-identity-token" in line]
    assert "--impersonate-service-account=retentionjax-deployer@p.iam.gserviceaccount.com" in token


def test_a_bad_canary_never_gets_traffic(stage: Stage, service: Service) -> None:
    service.answers = {"/v1/decisions": 500}
    done = stage.run("release.sh", service.url, RETENTIONJAX_KEY="secret")
    assert done.returncode == 1
    assert [line.split()[-2] for line in stage.said if "update-traffic" in line] == ["retentionjax-1=100"]
    assert "the canary failed" in done.stderr

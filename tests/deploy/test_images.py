"""The images: what goes in is there, what comes out starts, is small enough and runs as nobody on a read-only disk."""

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import bundles
import image_build
import pytest
from bucket_server import wait_for

from retentionjax import cli

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "scripts/deploy/docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint of the extra dev is not installed")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_pinned_by_digest_and_runs_as_nobody(dockerfile: Path) -> None:
    steps = image_build.instructions(dockerfile)
    argument = next(rest for word, rest in steps if word == "ARG" and rest.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", argument)
    assert [rest.split(" AS ") for word, rest in steps if word == "FROM"] == [
        ["${PYTHON_IMAGE}", "build"],
        ["${PYTHON_IMAGE}", "runtime"],
    ]
    assert [rest for word, rest in steps if word == "USER"] == ["10001:10001"]
    assert not any(word == "ADD" or "secret" in rest.lower() for word, rest in steps)
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest and "--no-index" not in rest]
    assert all("--require-hashes" in rest for rest in installs)


def test_all_that_the_packages_are_made_of_reaches_the_build() -> None:
    context = set(image_build.context_files(ROOT))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    wanted = {
        name for name in tracked if name.startswith(("retentionjax/", "serving/", "experiments/", "scripts/locks/"))
    }
    wanted = {name for name in wanted if (ROOT / name).exists()}
    assert wanted | {"pyproject.toml", "README.md", "LICENSE"} <= context
    assert not any(name.startswith(("tests/", ".git", "runs/", ".venv")) for name in context)


def test_the_last_rule_that_fits_decides(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name in ("a/b/c.py", "a/b/c.pyc", "a/x/__pycache__/d", "e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text("# all\n**\n!a/**\n**/*.py[cod]\n**/__pycache__\n")
    assert image_build.context_files(tmp_path) == ["a/b/c.py"]


@pytest.mark.slow
def test_the_serving_image_is_small_enough() -> None:
    for name in ("strip", "git"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    done = subprocess.run([sys.executable, DOCKER / "image_size.py"], capture_output=True, text=True, check=False)
    if "is locked but not installed here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    refused = subprocess.run(
        [sys.executable, DOCKER / "image_size.py", "--limit", "300"], capture_output=True, check=False
    )
    assert refused.returncode == 1


def test_only_locked_packages_can_be_left_out_and_gpus_stay_out() -> None:
    sys.path.insert(0, str(DOCKER))
    try:
        import requirements
    finally:
        sys.path.remove(str(DOCKER))
    every = {requirements.name_of(head) for head in requirements.chosen(["serve", "gcs", "text"], serving=False)}
    assert requirements.omitted() <= every
    served = {requirements.name_of(head) for head in requirements.chosen(["serve", "gcs", "text"], serving=True)}
    assert served == every - requirements.omitted()
    assert "xgboost-cpu" in served
    assert not any(name.startswith("jax-cuda") for name in served)
    assert all("--hash=sha256:" in pin for pin in requirements.chosen(["serve"], serving=True).values())
    with pytest.raises(SystemExit, match="no lock spam"):
        requirements.chosen(["spam"], serving=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_serving_image_built_step_by_step_decides(tmp_path: Path) -> None:
    os.environ.setdefault("UV_CACHE_DIR", os.path.expanduser("~/.cache/retentionjax/uv"))
    if shutil.which("strip") is None:
        pytest.skip("strip (binutils) is not installed")
    # The image's own Python is 3.11; here it is the one these tests run in.
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(os.path.realpath(sys.executable))
    os.environ["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    image = image_build.play(DOCKER / "serving.Dockerfile", ROOT, tmp_path / "stages", {})
    size = sum(path.lstat().st_size for path in (image.folder / ".venv").rglob("*") if not path.is_dir())
    assert size < 770e6, "with the base image's 130 MB, at most 900 MB"

    environment = image.environment() | {"HOME": str(tmp_path), "RETENTIONJAX_CACHE": str(tmp_path / "cache")}

    def output(*arguments: str) -> str:
        command = [*image.entrypoint, *arguments]
        done = subprocess.run(command, cwd=image.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert output("--version").strip() == f"retentionjax {importlib.metadata.version('retentionjax')}"
    bundle = bundles.make(tmp_path / "bundle")
    assert "OK: " in output("bundle", "verify", str(bundle))
    if "serve" not in {command.name for command in cli.COMMANDS}:
        pytest.skip("this version has no service to start")

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment |= {"RETENTIONJAX_BUNDLE": str(bundle), "RETENTIONJAX_DATABASE": f"sqlite:///{tmp_path}/ledger.db"}
    environment |= {"RETENTIONJAX_CAMPAIGN_CUSTOMERS": "100"}
    command = [*image.entrypoint, *image.command]
    here = {"8080": str(port), "0.0.0.0": "127.0.0.1"}  # the addresses of a container, and of a test
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(
            [here.get(word, word) for word in command], cwd=image.folder, env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(f"{url}/readyz", service, tmp_path / "log", seconds=400)
        check = [word.replace("8080", str(port)) for word in image.healthcheck]
        assert subprocess.run(check, env=environment, check=False).returncode == 0
        key = output("keys", "create", "--role", "decide", "--name", "smoke").split()[-1]
        smoke = [sys.executable, DOCKER.parent / "ci/smoke.py", url]
        done = subprocess.run(
            smoke, env=environment | {"RETENTIONJAX_KEY": key}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        service.terminate()
        service.wait(60)
    finally:
        service.kill()  # or one that never came up outlives the test, and its timeout hides why

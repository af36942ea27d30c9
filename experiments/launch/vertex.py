"""Stages as custom jobs of Vertex AI: their specs, as the API's JSON, and running them one after the other.

A job runs `experiments.launch.supervise` in the training image, so that a stage which Vertex AI starts again, after a
crash or on another machine, goes on from its checkpoints in the bucket.
"""

import argparse
import functools
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from experiments import config as configuration
from experiments.launch.plan import LaunchPlan, Task
from experiments.stage import read_record
from retentionjax import storage
from retentionjax.errors import ConfigError, RetentionJaxError

ANY_PROJECT = "any-project"
"""What a dry run without --project shows."""
ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}
POLL_SECONDS = 30.0
Spec = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """The place where jobs run, as whom, and from which image."""

    project: str
    region: str
    image: str
    service_account: str


class Jobs(Protocol):
    """The service's part that is used."""

    def create(self, spec: Mapping[str, Any]) -> str:
        """Starts a job; returns its resource name."""

    def state(self, name: str) -> str:
        """The name of its JobState."""


def place(parsed: argparse.Namespace, *, dry: bool) -> Place:
    """The place that the command line names. Raises ConfigError for what is missing; a dry run shows placeholders
    instead."""
    if not dry:
        for flag in ("project", "image"):
            if not getattr(parsed, flag):
                raise ConfigError(f"--{flag} is needed to run on Vertex AI")
    project = parsed.project or ANY_PROJECT
    if not re.fullmatch("[a-z][a-z0-9-]{4,28}[a-z0-9]", project):
        raise ConfigError(f"--project {project!r}: 6 to 30 small letters, digits and hyphens are wanted")
    image = parsed.image or f"{parsed.region}-docker.pkg.dev/{project}/retentionjax/training:latest"
    account = parsed.service_account or f"retentionjax-trainer@{project}.iam.gserviceaccount.com"
    return Place(project, parsed.region, image, account)


def specs(planned: LaunchPlan, where: Place, *, spot: bool = False) -> dict[str, Spec]:
    """A CustomJob for each stage that is left to do, by stage, in order."""
    return {task.name: spec(planned, task, where, spot=spot) for task in planned.tasks if not task.finished}


def spec(planned: LaunchPlan, task: Task, where: Place, *, spot: bool) -> Spec:
    """The stage's CustomJob as the API's JSON."""
    machine: Spec = {"machineType": task.machine}
    if task.accelerator:
        machine |= {"acceleratorType": task.accelerator, "acceleratorCount": 1}
    folder = planned.runs / planned.name
    scheduling: Spec = {"timeout": f"{task.hours * 3600:.0f}s", "restartJobOnWorkerRestart": True}
    if spot:
        scheduling["strategy"] = "SPOT"
    container = {
        "imageUri": where.image,
        "command": ["python", "-m", "experiments.launch.supervise", task.name],
        "args": planned.arguments(_preset_there(planned)),
        "env": [{"name": "RETENTIONJAX_CACHE", "value": "/tmp/retentionjax"}],  # noqa: S108 - in the job's container
    }
    return {
        "displayName": f"retentionjax-{planned.name}-{task.name}".replace("_", "-").lower(),
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "machineSpec": machine,
                    "replicaCount": "1",
                    "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
                    "containerSpec": container,
                }
            ],
            "scheduling": scheduling,
            "serviceAccount": where.service_account,
            "baseOutputDirectory": {"outputUriPrefix": os.fspath(folder / task.name)},
        },
        "labels": {"application": "retentionjax", "stage": task.name},
    }


def run(
    planned: LaunchPlan,
    where: Place,
    jobs_specs: Mapping[str, Spec],
    attempts: int,
    *,
    jobs: Jobs | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Starts each job when the one before has succeeded, and waits for the last.

    Raises RetentionJaxError when a stage does not succeed; the same command goes on from there.
    """
    service = _Service(where) if jobs is None else jobs
    there = storage.as_path(_preset_there(planned))
    if storage.is_cloud(there):
        storage.write_bytes(there, planned.preset.path.read_bytes())
    hours = {task.name: task.hours for task in planned.tasks}
    for name, job in jobs_specs.items():
        _to_the_end(service, name, job, hours[name], attempts, sleep)
        record = read_record(planned.runs / planned.name / name)
        if record is None or record.status != "done":
            raise RetentionJaxError(f"stage {name}: its job succeeded, but {planned.runs} holds no record of it")
    print(f"all done, in {planned.runs / planned.name}")
    return 0


def _to_the_end(jobs: Jobs, name: str, job: Spec, hours: float, attempts: int, sleep: Callable[[float], None]) -> None:
    """One stage, started up to `attempts` times; all of them share its hours, so the ceiling on the price holds."""
    left = hours * 3600.0
    state = "not started"
    for attempt in range(1, attempts + 1):
        job["jobSpec"]["scheduling"]["timeout"] = f"{left:.0f}s"
        resource = jobs.create(job)
        print(f"[submit] {name}: {resource} (attempt {attempt} of {attempts})", flush=True)
        while (state := jobs.state(resource)) not in ENDED:
            sleep(POLL_SECONDS)
            left -= POLL_SECONDS
        print(f"[submit] {name}: {state}", flush=True)
        if state == "JOB_STATE_SUCCEEDED":
            return
        if state == "JOB_STATE_CANCELLED" or left < POLL_SECONDS:
            break
    raise RetentionJaxError(f"stage {name}: {state}; its logs are in the console. The same command goes on from there")


def _preset_there(planned: LaunchPlan) -> str:
    """The preset as the job's machine can read it: one of ours by name, a file from the bucket."""
    ours = {storage.as_path(configuration.load_preset(name).path): name for name in configuration.PRESETS}
    here = planned.preset.path
    return ours.get(here.resolve(), "") or os.fspath(planned.runs / planned.name / "preset.yaml")


class _Service:
    """Google's client."""

    def __init__(self, where: Place) -> None:
        self._parent = f"projects/{where.project}/locations/{where.region}"
        self._endpoint = f"{where.region}-aiplatform.googleapis.com"

    @functools.cached_property
    def _client(self) -> Any:
        try:
            from google.cloud import aiplatform_v1
        except ImportError:
            raise ConfigError("--target vertex needs its client: bash scripts/setup.sh vertex gcs") from None
        return aiplatform_v1.JobServiceClient(client_options={"api_endpoint": self._endpoint})

    def create(self, spec: Mapping[str, Any]) -> str:
        client = self._client
        from google.cloud.aiplatform_v1.types import CustomJob

        job = CustomJob.from_json(json.dumps(spec))
        return str(client.create_custom_job(parent=self._parent, custom_job=job).name)

    def state(self, name: str) -> str:
        return str(self._client.get_custom_job(name=name).state.name)

"""How far a decision travels: the files that a warm decision to wait enters, from the first byte to the last."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import served_app

from serving.engine.writer import Inbox

ROOT = Path(__file__).parents[3]
MOST = 16
"""Fewer is better: raise it for no new layer."""


def test_a_warm_decision_to_wait_enters_few_files(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: set[str] = set()

    def note(frame: Any, event: str, _argument: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith((f"{ROOT}/serving/", f"{ROOT}/retentionjax/")):
            entered.add(name.removeprefix(f"{ROOT}/"))

    take = Inbox._take
    with served_app.serve(tmp_path, bundle) as service, service.client("decide") as client:

        def ask(customer: str) -> str:  # who has not consented is not contacted
            body = {"customer_id": customer, "facts": served_app.FACTS}
            return str(client.post("/v1/decisions", json=body).json()["decision"])

        ask("C-1")
        time.sleep(2.0)  # what is done once a second only
        loop = service.app.state.engine._control._loop
        loop.call_soon_threadsafe(sys.setprofile, note)  # the service's thread, and the writer's when it takes a job
        monkeypatch.setattr(Inbox, "_take", lambda inbox: (sys.setprofile(note), take(inbox))[1])
        ask("C-2")
        paths = []
        for number in range(3, 8):  # what every decision enters: a look at the lineup may fall into any of them
            entered.clear()
            assert ask(f"C-{number}") == "wait"
            paths.append(set(entered))
        loop.call_soon_threadsafe(sys.setprofile, None)
        monkeypatch.setattr(Inbox, "_take", lambda inbox: (sys.setprofile(None), take(inbox))[1])
        ask("C-8")
    path = set.intersection(*paths)
    assert {"serving/express.py", "serving/engine/steps.py", "retentionjax/decide/program.py"} <= path
    assert len(path) <= MOST, sorted(path)

"""Cards say what the manifest says; what it lacks is not measured; made-up data stand in the first lines."""

import dataclasses
from pathlib import Path

import bundles
import pytest

from retentionjax import cli
from retentionjax.bundle import cards, command, manifest
from retentionjax.storage import as_path


def test_figures_fields_and_provenance_are_the_manifests(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "card", str(bundle_folder)]) == 0
    text = capsys.readouterr().out
    made = manifest.read(as_path(bundle_folder))
    assert made.id in text
    assert "| risk of leaving: AUC, cross-validated | 0.800 |" in text  # as tests/bundles.py says
    assert "| … AUC, trained on the past only | not measured |" in text
    assert "| `months` | number | any, or missing |" in text
    assert "| `plan` | category | basic, plus |" in text
    assert "The next unit of budget returns 0.75 units of value." in text
    assert f"SHA-256 `{'0' * 64}`" in text
    assert "SYNTHETIC" not in text
    assert "- `appeal` = " in text
    assert "contacts that break the cooldown at most 0" in text
    assert manifest.limits_words({"campaign_budget": 1234567.5}) == "money spent at most 1234567.5"
    assert "The outcome is told nearly perfectly" not in text


def test_a_column_that_tells_the_outcome_stands_in_the_first_lines_and_in_the_summary(bundle_folder: Path) -> None:
    made = manifest.read(as_path(bundle_folder))
    leaking = dataclasses.replace(made, metrics={**made.metrics, "churn": {"cv_auc": 1.0, "leak_reason": 1.0}})
    said = "The outcome is told nearly perfectly by reason (AUC 1.000 by itself)"
    assert said in "".join(cards.card(leaking).splitlines()[:5])
    assert said in dict(command.lines(leaking))["WARNING"]


def test_made_up_data_are_named_first(tmp_path: Path) -> None:
    text = cards.card(manifest.read(as_path(bundles.make(tmp_path / "bundle", kind="synthetic"))))
    assert "SYNTHETIC DATA" in "".join(text.splitlines()[:5])


def test_a_card_goes_into_a_file(bundle_folder: Path, tmp_path: Path) -> None:
    assert cli.main(["bundle", "card", str(bundle_folder), "--out", str(tmp_path / "CARD.md")]) == 0
    assert (tmp_path / "CARD.md").read_text().startswith("# Model card: retention bundle ")

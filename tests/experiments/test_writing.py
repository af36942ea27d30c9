"""What the language model is trained to say of a run's customers: its company's own facts and offers."""

from pathlib import Path

import pandas as pd
import pytest
import run_folders
from etils import epath

from experiments import companies, sft
from retentionjax import storage
from retentionjax.data.messages.customers import tenure
from retentionjax.errors import ConfigError


def test_customers_of_a_run_are_spoken_of_as_its_company_says(tmp_path: Path) -> None:
    data = epath.Path(run_folders.make(tmp_path / "run") / "data")
    audience = sft.customers({"data": data})
    for split, known in audience.facts.items():
        frame = pd.read_parquet(data / f"artifacts/customers/{split}.parquet")
        assert [each.get("tenure") for each in known] == [tenure(months) for months in frame["tenure"]]
        fiber = (frame["InternetService"] == "Fiber optic") & (frame["StreamingTV"] != "Yes")
        assert [each["plan"] == "fiber internet" for each in known] == fiber.tolist()
    assert [(each.percent, each.days) for each in audience.offers] == [(0, 30), (5, 30), (10, 30), (20, 30)]


def test_a_company_that_writes_spanish_trains_no_language_model(tmp_path: Path) -> None:
    data = epath.Path(run_folders.make(tmp_path / "run") / "data")
    file = data / "artifacts" / companies.FILE
    described = storage.read_json(file)
    storage.write_json(file, described | {"messages": described["messages"] | {"language": "es"}})
    with pytest.raises(ConfigError, match=r"messages\.language is 'es'; allowed for a language model: en"):
        sft.customers({"data": data})

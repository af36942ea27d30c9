"""`retentionjax evaluate --customers`: the bundle's policy and the simple rules on a table that a user brings."""

from pathlib import Path

import bundles
import customer_tables
import pyarrow.csv
import pyarrow.parquet
import pytest

from retentionjax import cli


def test_the_bundle_is_compared_on_customers_a_user_brings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundles.make(tmp_path / "bundle")
    compare = ["evaluate", "--bundle", str(bundle), "--optimum-customers", "0", "--replicates", "4", "--customers"]
    customers = customer_tables.table(40).drop("city")
    pyarrow.parquet.write_table(customers, tmp_path / "customers.parquet")
    assert cli.main([*compare, str(tmp_path / "customers.parquet")]) == 0
    printed = capsys.readouterr().out
    assert "40 customers" in printed
    for policy in ("ppo", "never", "threshold", "greedy", "greedy_fatigue"):
        assert f" {policy} " in printed, policy
    pyarrow.csv.write_csv(customer_tables.table(40), tmp_path / "customers.csv")
    assert cli.main([*compare, str(tmp_path / "customers.csv")]) == 2
    assert "unknown field 'city'" in capsys.readouterr().err

"""Tables of customers of the bundle of `bundles`, as Parquet."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def table(rows: int, *, first: int = 0, **columns: Any) -> pa.Table:
    """Customers `C-<first>` and on; `columns` replace drawn ones."""
    random = np.random.default_rng(first)
    months = random.integers(0, 60, rows).astype(np.float64)
    drawn = {
        "customer_id": [f"C-{first + number}" for number in range(rows)],
        "months": pa.array(months, mask=random.random(rows) < 0.1),
        "bill": np.round(random.uniform(20, 120, rows), 2),
        "plan": random.choice(["basic", "plus"], rows),
        "age": random.integers(18, 80, rows),
        "channel": random.choice(["mail", "phone"], rows),
        "city": random.choice(["Oslo", "Lima"], rows),  # nobody asked for it
    }
    return pa.table({**drawn, **columns})


def write(path: Path, rows: int, *, first: int = 0, row_group: int = 700, **columns: Any) -> Path:
    """A Parquet file of them, in small row groups."""
    pq.write_table(table(rows, first=first, **columns), path, row_group_size=row_group)
    return path


def decisions(folder: Path) -> pa.Table:
    """All parts of an output folder, in their order."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])


def content(folder: Path) -> dict[str, bytes]:
    """Every visible file of an output folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}

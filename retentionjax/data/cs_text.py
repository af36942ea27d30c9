"""Bitext's customer-support replies: text to measure fluency and likeness on, never to train on (see its licence)."""

from retentionjax.data.reading import read_csv
from retentionjax.data.texts import Example, Turn, group_of
from retentionjax.errors import DataError

SOURCE = "cs_text"


def read(data: bytes, where: str) -> list[Example]:
    """Every request and its reply. Raises DataError for a file without those columns."""
    raw = read_csv(data, where)
    if missing := [name for name in ("instruction", "response") if name not in raw.names]:
        raise DataError(f"{where}: the column {missing[0]!r} is missing; it has {', '.join(raw.names)}")
    asked, said = raw.texts("instruction"), raw.texts("response")
    return [
        Example((Turn("user", request),), reply, SOURCE, group_of(request))
        for request, reply in zip(asked, said, strict=True)
    ]

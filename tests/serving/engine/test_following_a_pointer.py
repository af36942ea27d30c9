"""A service that follows a pointer serves what is promoted, on a disk as in a bucket, and nothing else."""

import asyncio
from pathlib import Path

import engines
import msgspec
import pytest
from engines import ask, running

from retentionjax.bundle import pointer
from retentionjax.errors import ConfigError
from serving.engine import Engine
from serving.engine.contract import Decision


async def decided_by(engine: Engine, customer: int) -> str:
    given = await engine.decide(ask(f"C-{customer}"))
    return msgspec.json.decode(given.body, type=Decision).bundle.id


@pytest.mark.usefixtures("_looks_often")
@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_what_is_promoted_serves(
    place: str, folder: Path, other: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    current = f"{tmp_path if place == 'disk' else request.getfixturevalue('bucket')}/retention/current"
    first = pointer.promote(folder, current).id

    async def main() -> None:
        async with running(current, tmp_path) as (engine, _):  # type: ignore[arg-type]
            assert await decided_by(engine, 0) == first
            await engine.activate(str(other), "canary", 1.0)
            second = await asyncio.to_thread(pointer.promote, other, current)
            found = [await decided_by(engine, number) for number in range(1, 20)]
            await engines.until(lambda: engine.active.id == second.id)
            assert set(found) <= {first, second.id}
            assert await decided_by(engine, 21) == second.id
            assert engine.lineup.canary is None  # it was tried, and promoted
            with pytest.raises(ConfigError, match="bundle promote"):
                await engine.activate(str(folder))
            await asyncio.to_thread(pointer.rollback, current)
            await engines.until(lambda: engine.active.id == first)
            assert await decided_by(engine, 22) == first
        await asyncio.to_thread(pointer.promote, other, current)  # while nobody runs
        async with running(current, tmp_path) as (engine, _):  # type: ignore[arg-type]
            assert await decided_by(engine, 23) == second.id

    asyncio.run(main())

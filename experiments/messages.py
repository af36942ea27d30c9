"""The complete bundle, language model included, and the messages for the three customers of the stage `bundle`.

`artifacts/bundle` is what serving takes. `retentionjax decide` with it repeats each decision and its message.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from etils import epath

from experiments import bundle as deciding
from experiments.config import in_range
from experiments.stage import Context, Stage
from retentionjax import bundle as bundles
from retentionjax import storage
from retentionjax.bundle.language import writer
from retentionjax.checked import Checked, NotNegative, Within


@dataclass(frozen=True)
class MessagesConfig(Checked):
    check_rows: Annotated[int, Within(1, 10**6)] = 256
    """Random observations on which the exported policy is compared with the trained one."""
    maximum_difference: NotNegative = 1e-5
    """Gate on that comparison."""


def run(config: MessagesConfig, context: Context) -> dict[str, float]:
    """Write → load → decide and write for three customers. See Stage."""
    source = context.inputs["ppo_text"] / "artifacts/writer"
    first = bundles.load(context.inputs["bundle"] / "artifacts/bundle")
    trained, gate = deciding.shipped(first.folder)
    contents = dataclasses.replace(
        deciding.contents(trained, gate, context), save_language=lambda folder: copy(source, folder)
    )
    folder = context.artifacts / "bundle"
    manifest = bundles.write(folder, contents, replace=True)
    bundle = bundles.load(folder)
    comparison = deciding.BundleConfig(check_rows=config.check_rows)
    difference = deciding.compare(bundle, deciding.served(trained), comparison)
    in_range("decide_max_abs_difference (gate maximum_difference)", difference, 0.0, config.maximum_difference)
    customers = {
        path.name.removesuffix(".json"): storage.read_json(path)
        for path in sorted((context.inputs["bundle"] / "artifacts/customers").iterdir())
    }
    flags = deciding.decisions(bundle, customers, context.artifacts, writer(bundle))
    answers = [storage.read_json(path) for path in sorted((context.artifacts / "decisions").iterdir())]
    sources = [answer["message"]["source"] for answer in answers if answer["message"]]
    return {
        "bundle_bytes": sum(file.size for file in manifest.files.values()),
        "messages": float(len(sources)),
        "messages_by_model": float(sources.count("model")),
        "decide_max_abs_difference": difference,
        **flags,
    }


def copy(source: epath.Path, target: epath.Path) -> None:
    """Every file below `source`, to the same place below `target`."""
    for file in storage.files(source):
        storage.write_bytes(target / file.relative_to(source).as_posix(), file.read_bytes())


STAGE = Stage(
    "messages",
    MessagesConfig,
    run,
    needs=("data", "churn", "acceptance", "effects", "policy", "evaluate", "bundle", "sft", "reward", "ppo_text"),
)

if __name__ == "__main__":
    STAGE.main()

"""`retentionjax bundle {inspect,verify} DIR`: what a bundle is, and whether it is whole.

`bundle promote RUN_OR_BUNDLE POINTER` makes it the current one at POINTER, a file such as gs://bucket/retention/current
or production/current; `bundle rollback POINTER` goes back; `bundle history POINTER` says who moved it and when. A
pointer may stand wherever a bundle's folder may. `bundle recalibrate BUNDLE --monitor FILE --out DIR` makes one whose
models predict, on average, what `retentionjax monitor` saw; `bundle card DIR` prints its model card and data card.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy, and `--help` needs neither
    from retentionjax.bundle.manifest import Manifest

_FIGURES = {
    "churn": ("cv_auc", "cv_ece"),
    "acceptance": ("cv_auc", "cv_ece", "time_ordered_auc"),
    "policy": ("spend_ratio", "violations_masked", "contacts_per_customer"),
    "evaluate": ("uplift_ppo", "paired_ppo_minus_greedy", "net_value_ppo"),
}


def main(arguments: Sequence[str]) -> int:
    """Runs `bundle` with `arguments`; raises BundleError for the first fault found."""
    parser = argparse.ArgumentParser(prog="retentionjax bundle", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("inspect", help="describe a bundle in words").add_argument("folder", metavar="DIR")
    verbs.add_parser("verify", help="check every file of a bundle, load it, decide once").add_argument(
        "folder", metavar="DIR"
    )
    promote = verbs.add_parser("promote", help="copy a bundle beside a pointer and point to it")
    promote.add_argument("source", metavar="RUN_OR_BUNDLE")
    promote.add_argument("pointer", metavar="POINTER")
    rollback = verbs.add_parser("rollback", help="point to the previous bundle again")
    rollback.add_argument("pointer", metavar="POINTER")
    rollback.add_argument("--to", metavar="ID", help="an earlier bundle, by the beginning of its id")
    verbs.add_parser("history", help="list the moves of a pointer").add_argument("pointer", metavar="POINTER")
    recalibrate = verbs.add_parser("recalibrate", help="shift a bundle's models to what was observed")
    recalibrate.add_argument("source", metavar="BUNDLE")
    recalibrate.add_argument("--monitor", required=True, metavar="FILE", help="output of `retentionjax monitor --json`")
    recalibrate.add_argument("--out", required=True, metavar="DIR", help="the new bundle; must not exist")
    cards = verbs.add_parser("card", help="print a bundle's model card and data card as Markdown")
    cards.add_argument("folder", metavar="DIR")
    cards.add_argument("--out", metavar="FILE.md", help="file to write instead of the terminal")
    parsed = parser.parse_args(list(arguments))
    if parsed.verb == "card":
        return _card(parsed)
    if parsed.verb == "recalibrate":
        return _recalibrate(parsed)
    if parsed.verb == "inspect":
        return _inspect(parsed.folder)
    if parsed.verb == "verify":
        return _verify(parsed.folder)
    return _move(parsed)


def _card(parsed: argparse.Namespace) -> int:
    from retentionjax import storage
    from retentionjax.bundle import cards, pointer
    from retentionjax.bundle import manifest as manifests

    text = cards.card(manifests.read(pointer.find(parsed.folder)))
    if parsed.out:
        storage.write_text(parsed.out, text)
    else:
        print(text, end="")
    return 0


def _recalibrate(parsed: argparse.Namespace) -> int:
    from retentionjax.bundle import pointer, recalibrating

    shifts = recalibrating.from_monitor(parsed.monitor)
    made = recalibrating.recalibrate(pointer.find(parsed.source), parsed.out, shifts)
    print(
        f"{parsed.out}: bundle {made.id[:12]}; log-odds of leaving {shifts.churn:+.3f}, "
        f"of accepting {shifts.acceptance:+.3f}"
    )
    if warning := recalibrating.warning(shifts, made.env):
        print(f"WARNING: {warning}")
    return 0


def _move(parsed: argparse.Namespace) -> int:
    from retentionjax.bundle import pointer

    if parsed.verb == "promote":
        moved = pointer.promote(parsed.source, parsed.pointer)
    elif parsed.verb == "rollback":
        moved = pointer.rollback(parsed.pointer, parsed.to)
    else:
        moved = pointer.read(parsed.pointer)
        for move in moved.history:
            print(f"{move.when}  {move.action:<8}  {move.id[:12]}  {move.who}")
    print(f"{parsed.pointer}: bundle {moved.id[:12]}, in {pointer.resolve(parsed.pointer)}")
    return 0


def _verify(folder: str) -> int:
    import numpy as np

    from retentionjax.bundle import load
    from retentionjax.env import actions, observation

    bundle = load(folder)
    seen = observation.size(actions.offers(bundle.params))
    bundle.decide(np.zeros((1, seen), np.float32), np.ones((1, actions.count(bundle.params)), bool))
    files = bundle.manifest.files
    print(f"OK: {folder}: bundle {bundle.manifest.id[:12]}, {len(files)} files, {_total(bundle.manifest):,} bytes")
    return 0


def _inspect(folder: str) -> int:
    from rich.console import Console

    from retentionjax.bundle import manifest as manifests
    from retentionjax.bundle import pointer

    base = pointer.find(folder)
    manifest = manifests.read(base)
    manifests.verify_files(base, manifest)
    console = Console(highlight=False, soft_wrap=True)
    if manifest.synthetic:
        console.print("SYNTHETIC DATA: no figure describes real customers", style="bold red")
    for name, text in lines(manifest):
        console.print(f"{name:<12}{text}", markup=False)
    return 0


def lines(manifest: "Manifest") -> list[tuple[str, str]]:
    """The summary as pairs of a word and a text."""
    from retentionjax.bundle.manifest import FORMAT_VERSION, limits_words
    from retentionjax.data import leaks

    versions = ", ".join(f"{name} {version}" for name, version in manifest.packages.items())
    facts = [name for name, fact in manifest.customer["fields"].items() if fact["used_by"]]
    shown = [
        ("bundle", f"{manifest.id[:12]}, format {FORMAT_VERSION}, parts {', '.join(manifest.parts)}"),
        ("created", f"{manifest.created}, commit {manifest.git_commit or 'unknown'}"),
        ("made with", versions),
        *(
            ("data", f"{name}: {each['kind']}, {each['rows']:,} rows, {each['source']}")
            for name, each in sorted(manifest.data.items())
        ),
        ("matching", ", ".join(f"{key} {value}" for key, value in manifest.matching.items())),
        ("customer", f"{len(facts)} facts: {', '.join(facts)}"),
        ("campaign", f"{manifest.env['horizon_days']} days, offers {_offers(manifest)}"),
        ("limits", f"on average, a customer and campaign: {limits_words(manifest.limits)}"),
        ("price", ", ".join(f"{name} {value:.3g}" for name, value in manifest.multipliers.items())),
    ]
    for stage, names in _FIGURES.items():
        figures = manifest.metrics.get(stage, {})
        shown += [(stage, ", ".join(f"{name} {figures[name]:.4g}" for name in names if name in figures))] * bool(
            figures
        )
    shown += [("gate", manifest.advice)] if manifest.advice else []
    shown += [("WARNING", told)] if (told := leaks.words(leaks.of_summary(manifest.metrics.get("churn", {})))) else []
    return [*shown, ("files", f"{len(manifest.files)}, {_total(manifest):,} bytes, each as the manifest says")]


def _total(manifest: "Manifest") -> int:
    return sum(file.size for file in manifest.files.values())


def _offers(manifest: "Manifest") -> str:
    from retentionjax.company import Company

    company = Company.from_dict(manifest.company)
    return ", ".join(f"{name} ({offer.words(company.currency)})" for name, offer in company.offers.items())

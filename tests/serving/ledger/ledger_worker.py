"""A process that uses a ledger as the service does, to be killed by a test: URL SEED CONTACTS|forever.

Every micro-batch looks at the views, decides, records; now and then outcomes come in. Decision ids go to stdout once
their transaction has been committed: `contact ID CUSTOMER` or `wait ID CUSTOMER`.
"""

import random
import sys
import time
import uuid

import ledger_rows

from serving.ledger import Ledger
from serving.ledger.types import DecisionRow, Outcome

CUSTOMERS = 40
GROUP = 8


def main(url: str, seed: int, rounds: float) -> None:
    draw = random.Random(seed)
    ledger = Ledger.open(url, clock=time.time, wait_seconds=30.0)
    print("ready", flush=True)
    while rounds > 0:
        rounds -= 1
        customers = draw.sample([f"customer {number}" for number in range(CUSTOMERS)], GROUP)
        with ledger.transaction() as tx:
            now = time.time()
            left = tx.campaigns(["spring"])["spring"].left_micros
            rows: list[DecisionRow] = []
            for view in tx.customers(customers, ["spring"] * GROUP, now):
                free = view.pending_offer is None and not view.contacts_days_ago
                cost = draw.randrange(1_000_000)
                contact = free and cost + 1 <= left
                left -= (cost + 1) * contact
                rows.append(
                    ledger_rows.decision(
                        view.customer_id,
                        now=now,
                        contact=contact,
                        delay=draw.choice([0, 1, 3]),
                        offer_cost=cost,
                        contact_cost=1,
                        decision_id=str(uuid.UUID(int=draw.getrandbits(128))),
                        key=str(draw.getrandbits(64)),
                    )
                )
            tx.record(rows)
            kinds = draw.choices(["accepted", "declined", "churned", "opted_out"], k=GROUP)
            tx.outcome(
                [
                    Outcome(row.decision_id, kind, now)  # type: ignore[arg-type]
                    for row, kind in zip(rows, kinds, strict=True)
                    if draw.random() < 0.1
                ]
            )
        said = [f"{'contact' if row.action else 'wait'} {row.decision_id} {row.customer_id}\n" for row in rows]
        sys.stdout.write("".join(said))
        sys.stdout.flush()
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

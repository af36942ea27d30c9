"""A user's files, small enough to read here: schema, customers and contact log."""

from pathlib import Path

SCHEMA = """\
name: acme
id: customer_id
label: churned
positive: yes
negative: no
charge: monthly_charge
tenure: months
numeric: [months, monthly_charge, support_calls]
categorical:
  plan: [basic, plus, pro]
  region: infer
nullable: [support_calls]
ignore: [e_mail]
treatment: contacted
offer: discount
outcome: accepted
"""

HEADER = "customer_id,churned,monthly_charge,months,support_calls,plan,region,e_mail"
LOG_HEADER = "customer_id,contacted,discount,accepted"


def customers(count: int = 40) -> list[str]:
    """The lines of the customers' file, header first; line number i (from 1) is entry i - 1."""
    plans, regions = ("basic", "plus", "pro"), ("north", "south")
    rows = [
        f"C-{i:03d},{'no' if i % 4 else 'yes'},{20 + i}.50,{i % 30},{i % 5 or ''},{plans[i % 3]},{regions[i % 2]},x@y.z"
        for i in range(count)
    ]
    return [HEADER, *rows]


def contacts() -> list[str]:
    """The lines of the contact log: two contacts each for the first twenty customers."""
    rows = [f"C-{i % 20:03d},{int(i % 3 > 0)},{(i % 3) / 10},{int(i % 4 == 0)}" for i in range(40)]
    return [LOG_HEADER, *rows]


def write(folder: Path, lines: list[str] | None = None, log: list[str] | None = None, schema: str = SCHEMA) -> Path:
    """Puts acme.yaml, customers.csv and contacts.csv into `folder`."""
    (folder / "acme.yaml").write_text(schema)
    (folder / "customers.csv").write_text("\n".join(customers() if lines is None else lines) + "\n")
    (folder / "contacts.csv").write_text("\n".join(contacts() if log is None else log) + "\n")
    return folder

"""A company's files, small enough to read here: its description, customers and log of contacts."""

import datetime as dt
from pathlib import Path

from retentionjax.company import Company
from retentionjax.data import company_tables
from retentionjax.data.company_file import Mode
from retentionjax.data.company_tables import Tables

COMPANY = """\
name: acme
currency: USD
customers:
  file: customers.csv
  id: customer_id
  charge: monthly_charge
  left: {column: churned, yes: "yes", no: "no"}
  window_days: 30
  tenure: months
  numeric: [months, monthly_charge, support_calls]
  categorical:
    plan: [basic, plus, pro]
    region: infer
  nullable: [support_calls]
  ignore: [e_mail]
contacts:
  file: contacts.csv
  at: assigned_at
  offer: arm
  propensity: propensity
  accepted: accepted
offers: {hello: {}, ten: {discount: 0.10}}
"""

HEADER = "customer_id,churned,monthly_charge,months,support_calls,plan,region,e_mail"
LOG_HEADER = "customer_id,assigned_at,arm,propensity,accepted"


def customers(count: int = 40) -> list[str]:
    """The lines of the customers' file, header first; line number i (from 1) is entry i - 1."""
    plans, regions = ("basic", "plus", "pro"), ("north", "south")
    rows = [
        f"C-{i:03d},{'no' if i % 4 else 'yes'},{20 + i}.50,{i % 30},{i % 5 or ''},{plans[i % 3]},{regions[i % 2]},x@y.z"
        for i in range(count)
    ]
    return [HEADER, *rows]


def contacts() -> list[str]:
    """The lines of the log: two assignments each for the first twenty customers, a third of them left alone."""
    arms = ("none", "hello", "ten")
    rows = [
        f"C-{i % 20:03d},2026-05-{i % 28 + 1:02d},{arms[i % 3]},0.3{i % 2},{int(i % 4 == 0) if i % 3 else ''}"
        for i in range(40)
    ]
    return [LOG_HEADER, *rows]


def write(folder: Path, lines: list[str] | None = None, log: list[str] | None = None, company: str = COMPANY) -> Path:
    """Puts acme.yaml, customers.csv and contacts.csv into `folder`."""
    (folder / "acme.yaml").write_text(company)
    (folder / "customers.csv").write_text("\n".join(customers() if lines is None else lines) + "\n")
    (folder / "contacts.csv").write_text("\n".join(contacts() if log is None else log) + "\n")
    return folder


def read(folder: Path, today: dt.date = dt.date(2026, 12, 31)) -> Tables:
    """What the files in `folder` say, on a day that comes after all that they date."""
    return company_tables.read(Company.load(folder / "acme.yaml"), mode=Mode(today=today))

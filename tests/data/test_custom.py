"""A user's own files: what is accepted, and what each mistake is told."""

import contextlib
import io
from pathlib import Path

import customer_files
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retentionjax.data import catalog, custom, splits
from retentionjax.data.reading import read_parquet
from retentionjax.errors import DataError


def _load(folder: Path) -> custom.Custom:
    return custom.load(folder / "acme.yaml", folder / "customers.csv")


def _edited(line: int, before: str, after: str) -> list[str]:
    """The customers' file with `before` replaced in line `line` (from 1, the header)."""
    lines = customer_files.customers()
    assert before in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(before, after)
    return lines


def test_good_files_become_typed_tables(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    own = custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")
    frame = own.customers.frame
    assert frame["customer_id"].tolist()[:2] == ["C-000", "C-001"]
    assert frame["churned"].sum() == 10
    assert frame["support_calls"].isna().sum() == 8
    assert own.customers.schema.categorical["region"] == ("north", "south")
    assert own.customers.provenance.kind == "real"
    assert own.contacts is not None
    assert len(own.contacts.frame) == 40


def test_a_contact_carries_the_facts_of_its_customer_and_not_the_label(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    own = custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")
    assert own.contacts is not None
    contact, customer = own.contacts.frame.iloc[23], own.customers.frame.iloc[3]
    for name in own.customers.schema.features:
        assert contact[name] == customer[name]
    assert own.contacts.schema.label == "accepted"
    assert "churned" not in own.contacts.frame
    assert contact["discount"] == pytest.approx(0.2)


def test_contacts_follow_the_split_of_their_customer(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    own = custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")
    assert own.contacts is not None
    of_customers = splits.split(own.customers)
    of_contacts = splits.follow(own.contacts, own.customers, of_customers)
    for part in splits.NAMES:
        names = set(own.customers.rows(getattr(of_customers, part))["customer_id"])
        assert set(own.contacts.rows(getattr(of_contacts, part))["customer_id"]) <= names
    assert len(of_contacts.train) + len(of_contacts.validation) + len(of_contacts.test) == 40


def test_parquet_is_as_good_as_csv(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    from_csv = _load(tmp_path)
    frame = pd.read_csv(tmp_path / "customers.csv", dtype={"support_calls": "Int64"})
    frame.to_parquet(tmp_path / "customers.parquet")
    from_parquet = custom.load(tmp_path / "acme.yaml", tmp_path / "customers.parquet")
    pd.testing.assert_frame_equal(from_csv.customers.frame, from_parquet.customers.frame)


@pytest.mark.parametrize(
    ("line", "before", "after", "said"),
    [
        (7, "25.50", "abc", "line 7, column 'monthly_charge': 'abc' is not a number; allowed: dollars above 0"),
        (7, "25.50", "1_000", "line 7, column 'monthly_charge': '1_000' is not a number"),
        (7, "25.50", "nan", "line 7, column 'monthly_charge': 'nan' is not finite"),
        (7, "25.50", "1e999", "line 7, column 'monthly_charge': '1e999' is not finite"),
        (7, "25.50", "-3", "line 7, column 'monthly_charge': '-3' is out of range; allowed: dollars above 0"),
        (7, "25.50", "0", "line 7, column 'monthly_charge': '0' is out of range"),
        (7, "25.50", "", "line 7, column 'monthly_charge': '' is missing"),
        (8, ",6,", ",inf,", "line 8, column 'months': 'inf' is not finite; allowed: a finite number"),
        (8, ",6,1,", ",6,one,", "line 8, column 'support_calls': 'one' is not a number; allowed: a finite number; the"),
        (3, "plus", "gold", "line 3, column 'plan': 'gold' is an unknown category; allowed: 'basic', 'plus', 'pro'"),
        (3, "plus", "", "line 3, column 'plan': '' is missing; allowed: 'basic'"),
        (3, "south", "", "line 3, column 'region': '' is missing"),
        (3, ",no,", ",maybe,", "line 3, column 'churned': 'maybe' is an unknown category; allowed: 'no', 'yes'"),
        (9, "C-007", "C-002", "line 9, column 'customer_id': 'C-002' is the id of line 4 too; allowed: every id once"),
        (9, "C-007", " ", "line 9, column 'customer_id': ' ' is missing"),
        (9, ",x@y.z", "", "line 9: 7 cells, but the header has 8"),
        (9, ",x@y.z", ",x@y.z,more", "line 9: 9 cells, but the header has 8"),
        (9, "x@y.z", '"x@y.z', "not a readable CSV row"),
        (1, "months", "plan", "line 1: the column 'plan' is named twice"),
        (1, "months", "moths", "the column 'months' is missing"),
        (1, "e_mail", "mail", "unknown column 'mail'; allowed: customer_id"),
        (1, "e_mail", "", "line 1: column number 8 has no name"),
        (1, ",", ";", r"one single column 'customer_id;churned"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, line: int, before: str, after: str, said: str) -> None:
    customer_files.write(tmp_path, _edited(line, before, after))
    with pytest.raises(DataError) as raised:
        _load(tmp_path)
    assert said in str(raised.value)
    assert "customers.csv" in str(raised.value)


def test_lines_are_counted_past_blank_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    lines = _edited(6, "24.50", "oops")
    lines[3] = lines[3].replace("x@y.z", '"x\n\ny"')
    customer_files.write(tmp_path, [*lines[:2], "", *lines[2:]])
    with pytest.raises(DataError, match="line 9, column 'monthly_charge': 'oops'"):
        _load(tmp_path)


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    lines = [line.replace(",yes,", ",no,") for line in customer_files.customers()]
    customer_files.write(tmp_path, lines)
    with pytest.raises(DataError, match="column 'churned': every row is 'no'; there must be rows of both 'no', 'yes'"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"a,b\n", "column names but no rows"), (b"\n", "empty")]
)
def test_an_empty_table_is_an_error(tmp_path: Path, content: bytes, said: str) -> None:
    customer_files.write(tmp_path)
    (tmp_path / "customers.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        _load(tmp_path)


def test_a_wrong_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    data = (tmp_path / "customers.csv").read_bytes().replace(b"C-003", "Zoë".encode("latin-1"))
    (tmp_path / "customers.csv").write_bytes(data)
    with pytest.raises(DataError, match="line 5: byte 0xeb is not UTF-8 text"):
        _load(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    (tmp_path / "customers.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "customers.csv").read_bytes())
    assert len(_load(tmp_path).customers.frame) == 40


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    with pytest.raises(DataError, match=r"nobody\.csv: no such file"):
        custom.load(tmp_path / "acme.yaml", tmp_path / "nobody.csv")
    with pytest.raises(DataError, match="is a folder, not a file"):
        custom.load(tmp_path / "acme.yaml", tmp_path)
    with pytest.raises(DataError, match=r"none\.yaml: no such file"):
        custom.load(tmp_path / "none.yaml", tmp_path / "customers.csv")


@pytest.mark.parametrize("data", [b"PAR1 and then nothing", b"not parquet at all"])
def test_a_damaged_parquet_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    customer_files.write(tmp_path)
    (tmp_path / "customers.parquet").write_bytes(data)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        custom.load(tmp_path / "acme.yaml", tmp_path / "customers.parquet")


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_no_damage_to_a_parquet_file_gets_past_as_anything_but_a_clear_error(place: int, junk: bytes) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"months": [1.0, 2.0], "plan": ["basic", "plus"], "count": [1, 2]}).to_parquet(buffer)
    content = buffer.getvalue()
    start = place % len(content)
    with contextlib.suppress(DataError):
        raw = read_parquet(content[:start] + junk + content[start + len(junk) :], "damaged.parquet")
        assert all(len(raw.texts(name)) == len(raw.places) for name in raw.columns)


def test_a_bad_value_in_parquet_is_told_with_its_row(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    frame = pd.read_csv(tmp_path / "customers.csv")
    frame["months"] = frame["months"].astype(float)
    frame.loc[4, "months"] = np.inf
    frame.to_parquet(tmp_path / "customers.parquet")
    with pytest.raises(DataError, match="row 5, column 'months': 'inf' is not finite"):
        custom.load(tmp_path / "acme.yaml", tmp_path / "customers.parquet")


def test_a_column_of_dates_is_an_error(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    frame = pd.read_csv(tmp_path / "customers.csv")
    frame["months"] = pd.to_datetime("2024-01-01")
    frame.to_parquet(tmp_path / "customers.parquet")
    with pytest.raises(DataError, match=r"column 'months': holds timestamp.*; allowed: numbers, text, true/false"):
        custom.load(tmp_path / "acme.yaml", tmp_path / "customers.parquet")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("tenure:", "tenur:", "unknown key 'tenur'; allowed: arms, categorical, charge"),
        ("id: customer_id\n", "", "the key 'id' is missing"),
        ("charge: monthly_charge\n", "", "the key 'charge' is missing"),
        ("[basic, plus, pro]", "basic", "'categorical.plan' must be a list"),
        ("[basic, plus, pro]", "[basic, plus, plus]", "names the category 'plus' twice"),
        ("[basic, plus, pro]", "[]", "column 'plan' has no allowed categories"),
        ("region: infer", "plan: infer", "'plan' is named twice"),
        ("region: infer", "months: infer", "column 'months' is named twice among the features"),
        ("charge: monthly_charge", "charge: monthly_charge\ncharge: months", "'charge' is named twice"),
        ("label: churned", "label: months", "column 'months' is named twice: as label and as a fact"),
        ("id: customer_id", "id: churned", "column 'churned' is named twice, in two roles"),
        ("outcome: accepted", "outcome: discount", "column 'discount' is named twice, in two roles"),
        ("ignore: [e_mail]", "ignore: [plan]", "column 'plan' is named twice: to be used, and to be ignored"),
        ("ignore: [e_mail]", "ignore: e_mail", "'ignore' must be a list of column names"),
        ("nullable: [support_calls]", "nullable: [calls]", "'calls' cannot be nullable"),
        ("nullable: [support_calls]", "nullable: [monthly_charge]", "'monthly_charge' cannot be nullable"),
        ("tenure: months", "tenure: plan", "the tenure 'plan' must be one of the numeric columns"),
        ("name: acme", "name: ../acme", "allowed: letters, digits, - and _"),
        ("name: acme", "separator: tab", "'separator' must be one character, not 'tab'"),
        ("  plan: [basic", "  plan: [basic\n: [", "acme.yaml, line"),
        ("name: acme", "name: bank\nmeasures: [duration]", "'duration' can never be used"),
    ],
)
def test_a_mistake_in_the_schema_is_told(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in customer_files.SCHEMA
    customer_files.write(tmp_path, schema=customer_files.SCHEMA.replace(before, after))
    with pytest.raises(DataError) as raised:
        _load(tmp_path)
    assert said in str(raised.value)
    assert "acme.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n- b\n", "must be keys and values"),
        (b"name: \xff", "UTF-8"),
        (b"a: \x00", "not YAML"),
        (b"{a: b}: c", "a key must be a name"),
        (b"a: *b", "found undefined alias"),
    ],
)
def test_a_schema_that_is_no_mapping_is_an_error(tmp_path: Path, content: bytes, said: str) -> None:
    customer_files.write(tmp_path)
    (tmp_path / "acme.yaml").write_bytes(content)
    with pytest.raises(DataError, match=said):
        _load(tmp_path)


def test_what_yaml_would_make_numbers_and_truths_of_is_the_text_of_a_cell(tmp_path: Path) -> None:
    customer_files.write(tmp_path, schema=customer_files.SCHEMA.replace("[basic, plus, pro]", "[1.50, yes, 0x1f]"))
    renamed = "\n".join(customer_files.customers()).replace("basic", "1.50").replace("plus", "yes")
    (tmp_path / "customers.csv").write_text(renamed.replace("pro", "0x1f"))
    assert _load(tmp_path).customers.frame["plan"].cat.categories.tolist() == ["1.50", "yes", "0x1f"]


def test_too_many_values_to_infer_are_an_error(tmp_path: Path) -> None:
    customer_files.write(
        tmp_path, [line.replace("south", f"town-{i}") for i, line in enumerate(customer_files.customers(400))]
    )
    with pytest.raises(DataError, match="column 'region': 201 different values are too many to infer"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("line", "before", "after", "said"),
    [
        (5, "C-003", "C-999", "line 5, column 'customer_id': 'C-999' is no customer"),
        (4, ",0.2,", ",20,", "line 4, column 'discount': '20' is out of range; allowed: a fraction of the charge, 0.1"),
        (4, ",1,0.2,", ",2,0.2,", "line 4, column 'contacted': '2' is an unknown category; allowed: '0', '1'"),
        (2, "0.0,1", "0.0,yes", "line 2, column 'accepted': 'yes' is an unknown category; allowed: '0', '1'"),
        (1, "accepted", "taken", "the column 'accepted' is missing"),
    ],
)
def test_a_mistake_in_the_log_is_told(tmp_path: Path, line: int, before: str, after: str, said: str) -> None:
    log = customer_files.contacts()
    assert before in log[line - 1]
    log[line - 1] = log[line - 1].replace(before, after)
    customer_files.write(tmp_path, log=log)
    with pytest.raises(DataError) as raised:
        custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")
    assert said in str(raised.value)
    assert "contacts.csv" in str(raised.value)


def test_a_log_needs_an_outcome_in_the_schema(tmp_path: Path) -> None:
    customer_files.write(tmp_path, schema=customer_files.SCHEMA.replace("outcome: accepted\n", ""))
    with pytest.raises(DataError, match="a contact log needs the key 'outcome'"):
        custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")


def test_a_refused_table_leaves_what_was_prepared_before(tmp_path: Path) -> None:
    customer_files.write(tmp_path)
    catalog.prepare(_load(tmp_path).customers, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    customer_files.write(tmp_path, _edited(7, "25.50", "abc"))
    with pytest.raises(DataError):
        catalog.prepare(_load(tmp_path).customers, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_the_example_of_the_readme_can_be_prepared(tmp_path: Path) -> None:
    """The YAML and CSV blocks of the documentation, as they stand there."""
    text = (Path(custom.__file__).parent / "README.md").read_text()
    blocks = [block for block in text.split("\n\n") if block.startswith("    ")]
    schema, rows, log = ("\n".join(line[4:] for line in block.splitlines()) for block in blocks[1:4])
    (tmp_path / "acme.yaml").write_text(schema)
    (tmp_path / "customers.csv").write_text(rows)
    (tmp_path / "contacts.csv").write_text(log)
    own = custom.load(tmp_path / "acme.yaml", tmp_path / "customers.csv", tmp_path / "contacts.csv")
    assert own.customers.frame["churned"].sum() == 4
    assert own.contacts is not None
    assert own.contacts.frame["accepted"].tolist() == [1, 0, 0]
    assert catalog.prepare(own.customers, tmp_path / "out")


@given(st.data())
def test_no_damage_to_a_file_gets_past_as_anything_but_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, drawn: st.DataObject
) -> None:
    """Bytes overwritten, cut out and put in at random places of schema, customers or log: a table or a DataError."""
    folder = customer_files.write(tmp_path_factory.mktemp("fuzz"))
    path = folder / drawn.draw(st.sampled_from(["acme.yaml", "customers.csv", "contacts.csv"]))
    content = path.read_bytes()
    start, length = drawn.draw(st.integers(0, len(content))), drawn.draw(st.integers(0, 40))
    junk = drawn.draw(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode)))
    path.write_bytes(content[:start] + junk + content[start + length :])
    with contextlib.suppress(DataError):
        own = custom.load(folder / "acme.yaml", folder / "customers.csv", folder / "contacts.csv")
        assert set(own.customers.schema.columns) == set(own.customers.frame)

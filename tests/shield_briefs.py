"""The sender of the shield's tests."""

from retentionjax.shield import Sender

SENDER = Sender(
    "Northwind", "1 Main Street, Springfield, IL 62701", ("northwind.example",), "https://northwind.example/unsubscribe"
)

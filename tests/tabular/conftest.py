"""The small table that most tests here look at, and a classifier fitted to it; neither is ever changed."""

import pytest
import small_customers
from small_customers import Customers

from retentionjax.tabular.classifier import Classifier


@pytest.fixture(scope="session")
def customers() -> Customers:
    return small_customers.draw(1_500, seed=0)


@pytest.fixture(scope="session")
def classifier(customers: Customers) -> Classifier:
    return customers.fit()

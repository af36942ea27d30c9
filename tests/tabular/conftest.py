"""The small table that most tests here look at, and a classifier fitted to it; neither is ever changed."""

from collections.abc import Iterator

import jaxtyping
import pytest
import small_customers
from small_customers import Customers

from retentionjax.tabular.classifier import Classifier


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For what is called thousands of times with arrays of the same kind: the annotations, which other tests check,
    take most of its time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def customers() -> Customers:
    return small_customers.draw(1_500, seed=0)


@pytest.fixture(scope="session")
def classifier(customers: Customers) -> Classifier:
    return customers.fit()

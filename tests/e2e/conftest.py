"""The product that unmodified clients are pointed at: one for all tests of a run, its books looked at when it ends."""

from collections.abc import Iterator

import pytest

from tests.support.model_process import kept_models
from tests.support.product import Product
from tests.support.shared_product import shared_product


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, worker_id: str, pytestconfig: pytest.Config) -> Iterator[Product]:
    """The running product."""
    own = tmp_path_factory.getbasetemp()
    place = (own if worker_id == "master" else own.parent) / "product"
    with shared_product(place, kept_models(pytestconfig), look_at_the_books) as running:
        yield running


def look_at_the_books(product: Product) -> None:
    """When all clients are gone, the books are what the log says and hold exactly what each client was told."""
    assert product.run_json("verify")["equal"]
    assert product.control("/api/v1/quarantine")["data"] == []
    exported = product.export()
    for told in product.told():
        record = exported[told["id"]]
        assert {name: record[name] for name in told} == told
        assert (record["source"], record["project"]) == ("reported", "search")

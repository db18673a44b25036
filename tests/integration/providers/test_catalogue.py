"""The snapshot that gateways serve from, and the history of prices."""

import base64
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from pytest_django import DjangoAssertNumQueries, Settings

from apps.config.api import CATALOGUE, versions
from apps.core.sealing import key_id_of
from apps.core.units import Weights
from apps.providers import services
from apps.providers.api import catalogue, open_upstream
from apps.providers.models import Model, Price, Provider, Upstream
from apps.providers.services import database_time
from tests.integration.providers.catalogue_rows import CANARY, acme, acme_model, acme_upstream

pytestmark = pytest.mark.django_db


def test_what_the_tables_say() -> None:
    acme()
    shown = catalogue()
    provider, model = shown.providers["acme"], shown.models["acme-0"]
    assert provider.allowed_parameters == {"model", "messages"}
    (upstream,) = provider.upstreams
    assert (upstream.base_url, upstream.forward_headers) == ("http://127.0.0.1:1/v1", {"x-trace"})
    assert upstream.credential.reveal() == CANARY
    assert CANARY not in repr(shown)
    assert (model.provider, model.upstream_name, model.kind, model.context_window) == (
        "acme",
        "acme-0",
        "chat",
        128_000,
    )
    price = model.price_at(database_time())
    assert price is not None
    assert (price.weights, price.input_price, price.output_price) == (Weights(), 150_000, 600_000)
    assert model.price_at(price.starts_at - timedelta(milliseconds=1)) is None


@pytest.mark.parametrize("models", [1, 12])
def test_four_queries_however_much_it_is(models: int, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    acme(models)
    with django_assert_num_queries(4):
        assert len(catalogue().models) == models


def test_disabled_things_are_not_in_it() -> None:
    acme(2)
    assert services.switch(Model, [acme_model().pk], enabled=False) == 1
    assert set(catalogue().models) == {"acme-1"}
    services.switch(Upstream, [acme_upstream().pk], enabled=False)
    assert catalogue().providers["acme"].upstreams == ()
    services.switch(Provider, ["acme"], enabled=False)
    assert (catalogue().models, catalogue().providers) == ({}, {})


def test_an_unpriced_model_is_in_it_without_a_price() -> None:
    acme()
    services.save(Model(name="free", provider_id="acme", upstream_name="free", context_window=1, max_output=1))
    assert catalogue().models["free"].prices == ()


def test_a_credential_that_does_not_open_takes_only_its_upstream_away() -> None:
    acme()
    open_upstream("acme", "moved", base_url="http://127.0.0.1:2", credential="other", forward_headers=[])
    Upstream.objects.filter(name="moved").update(sealed_credential=acme_upstream_blob())
    assert [upstream.base_url for upstream in catalogue().providers["acme"].upstreams] == ["http://127.0.0.1:1/v1"]


def acme_upstream_blob() -> bytes:
    return bytes(Upstream.objects.values_list("sealed_credential", flat=True).get(name="main") or b"")


def test_an_upstream_is_moved_and_keeps_what_operators_changed() -> None:
    acme()
    before = versions()[CATALOGUE]
    acme()
    assert versions()[CATALOGUE] == before, "nothing differed, so nothing was written"
    open_upstream("acme", "main", base_url="http://127.0.0.1:9/v1", credential="ignored", forward_headers=[])
    (upstream,) = catalogue().providers["acme"].upstreams
    assert (upstream.base_url, upstream.credential.reveal()) == ("http://127.0.0.1:9/v1", CANARY)
    assert upstream.forward_headers == {"x-trace"}


def test_credentials_are_sealed_anew_by_the_newest_key(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    acme()
    old = settings.CREDENTIAL_KEYS
    settings.CREDENTIAL_KEYS = ["t2:" + base64.b64encode(b"2" * 32).decode(), *old]
    call_command("reencrypt_credentials")
    call_command("reencrypt_credentials")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 credentials and ")
    assert second == "0 credentials and 0 signing keys sealed anew"
    settings.CREDENTIAL_KEYS = settings.CREDENTIAL_KEYS[:1]
    assert key_id_of(acme_upstream_blob()) == "t2"
    assert catalogue().providers["acme"].upstreams[0].credential.reveal() == CANARY


def test_a_price_that_has_started_is_history() -> None:
    acme()
    price = Price.objects.get()
    price.input_price = 1
    with pytest.raises(ValidationError):
        services.save_price(price)
    with pytest.raises(ValidationError):
        services.delete_price(price)
    with pytest.raises(ProtectedError):
        services.delete(acme_model())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE providers_price SET input_price = 1",
        "UPDATE providers_price SET starts_at = now() + interval '1 day'",
        "DELETE FROM providers_price",
        "UPDATE providers_price SET starts_at = now() - interval '1 day'",
        "TRUNCATE providers_price",
    ],
)
def test_the_database_keeps_the_history_of_prices(statement: str) -> None:
    acme()
    with (
        pytest.raises(DatabaseError, match=r"history|denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_database_refuses_a_start_in_the_past() -> None:
    acme()
    price = Price(model=acme_model(), starts_at=database_time() - timedelta(microseconds=1))
    with pytest.raises(DatabaseError, match="in the past"), transaction.atomic():
        price.save()


def test_a_price_to_come_can_still_be_changed_and_taken_back() -> None:
    acme()
    price = Price(model=acme_model(), starts_at=database_time() + timedelta(days=1), input_price=5)
    services.save_price(price)
    price.input_price = 7
    services.save_price(price)
    assert [each.input_price for each in catalogue().models["acme-0"].prices] == [150_000, 7]
    services.delete_price(price)
    assert len(catalogue().models["acme-0"].prices) == 1


def test_a_start_in_the_past_means_now() -> None:
    acme()
    services.save(Model(name="late", provider_id="acme", upstream_name="x", context_window=1, max_output=1))
    price = Price(model=Model.objects.get(name="late"), starts_at=database_time() - timedelta(days=9))
    services.save_price(price)
    assert price.starts_at == database_time()


def test_bounds_are_checked_and_nothing_is_written() -> None:
    acme()
    before = versions()[CATALOGUE]
    row = acme_upstream()
    row.base_url = "http://169.254.169.254/latest"
    with pytest.raises(ValidationError):
        services.save(row)
    with pytest.raises(ValidationError):
        services.save_price(Price(model=acme_model(), starts_at=database_time(), input_price=-1))
    assert versions()[CATALOGUE] == before

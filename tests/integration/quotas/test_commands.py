"""The ledger's commands."""

from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import User
from apps.quotas import orders
from apps.quotas.api import balance, balances_of, reserve
from apps.quotas.models import Hold, Transfer
from tests.integration.quotas.payers import MINUTE_MS, OVERDUE_MS, funded_account, hold_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", "alice@example.com", "a password")


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def test_tokens_are_granted_to_a_user_by_name_address_or_id(alice: User) -> None:
    for who in ("alice", "Alice@example.com", str(alice.pk)):
        run("grant_tokens", "--user", who, "--provider", "openai", "--tokens", "1000", "--reason", "trial")

    (account,) = balances_of("user", alice.pk)
    assert (account.granted, account.provider) == (3000, "openai")
    assert set(Transfer.objects.filter(account_id=account.id).values_list("reason", flat=True)) == {"trial"}


def test_a_grant_repeated_with_its_id_is_given_once() -> None:
    organisation, grant_id = str(uuid4()), str(uuid4())
    for _ in range(2):
        said = run(
            "grant_tokens", "--org", organisation, "--provider", "qwen", "--tokens", "1000", "--grant-id", grant_id
        )

    assert "available 1,000" in said


@pytest.mark.parametrize("tokens", ["0", "-5", "9000000000000001"])
def test_a_grant_out_of_bounds_is_refused(alice: User, tokens: str) -> None:
    with pytest.raises(CommandError, match="a grant lies within"):
        run("grant_tokens", "--user", "alice", "--provider", "openai", f"--tokens={tokens}")


def test_a_large_grant_waits_for_somebody_in_the_console(alice: User) -> None:
    order_id = str(uuid4())
    large = ["grant_tokens", "--user", "alice", "--provider", "openai", "--tokens", "10000001", "--grant-id", order_id]
    for _ in range(2):
        assert run(*large) == f"order {order_id} waits for a second person: approve it in the console\n"
    assert balances_of("user", alice.pk) == []

    orders.approve(UUID(order_id), alice.pk)
    assert "available 10,000,001" in run(*large)


def test_a_rejected_grant_stays_one(alice: User) -> None:
    order_id = uuid4()
    large = ["grant_tokens", "--user=alice", "--provider=openai", "--tokens=10000001", f"--grant-id={order_id}"]
    run(*large)
    orders.reject(order_id, alice.pk)
    with pytest.raises(CommandError, match="rejected"):
        run(*large)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(CommandError, match="no user bob"):
        run("show_balance", "--user", "bob")


def test_a_balance_is_shown_and_checked(alice: User) -> None:
    run("grant_tokens", "--user", "alice", "--provider", "openai", "--tokens", "1234567")

    said = run("show_balance", "--user", "alice")

    assert "1,234,567" in said
    assert "balances = transfers = holds" in said
    assert run("show_balance", "--user", "alice", "--provider", "qwen") == "no account\n"


def test_a_balance_that_is_wrong_is_told(alice: User) -> None:
    run("grant_tokens", "--user", "alice", "--provider", "openai", "--tokens", "100")
    (account,) = balances_of("user", alice.pk)
    hold = hold_of(account.id, 30)
    reserve(hold, ttl_ms=MINUTE_MS)
    Hold.objects.filter(id=hold.id).update(amount=29)

    with pytest.raises(CommandError, match="held"):
        run("show_balance", "--user", "alice")


def test_overdue_holds_are_ended_by_hand() -> None:
    hold = hold_of(funded_account(100), 30)
    reserve(hold, ttl_ms=OVERDUE_MS)

    run("expire_holds")

    assert (Hold.objects.get(id=hold.id).status, balance(hold.account).available) == ("EXPIRED", 100)

"""Who is one client."""

from __future__ import annotations

import pytest

from pytest_kspec.serving.rate import Rate, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_a_network_of_ipv6_is_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


def test_another_address_of_the_network_has_no_rate_of_its_own() -> None:
    rate = Rate(1.0, 2.0, lambda: 0.0)
    allowed = [rate.allow(client_of(f"2001:db8::{number:x}")) for number in range(5)]
    assert allowed == [True, True, False, False, False]

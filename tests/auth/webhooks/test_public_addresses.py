"""Which addresses webhooks may go to."""

from __future__ import annotations

import pytest

from services.auth.domain.public_addresses import AddressRefused, Resolver, is_public

PRIVATE = (
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:5db8:d822::f5ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1")


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_private_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


# The forms in which addresses hide from those who look at the text alone.
HOSTS = ("localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "::ffff:7f00:1")


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_is_judged_by_its_addresses(host: str) -> None:
    resolver = Resolver(allows_private=False)
    try:
        with pytest.raises(AddressRefused):
            await resolver.addresses(host, 443)
    finally:
        resolver.close()

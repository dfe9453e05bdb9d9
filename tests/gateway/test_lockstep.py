"""The adapter: our own services, the proof that they get, and refusals at start."""

from __future__ import annotations

from pathlib import Path

import pytest
from lockstep_clients import channels as client_channels
from lockstep_gateway.http import channels

from services.common.key_files import initialise
from services.gateway import lockstep
from services.gateway.lockstep import GatewaySettings, StartError

SERVICES = ["lockstep.auth.v1.AuthService", "lockstep.commerce.v1.CartService", "acme.v1.Library"]


def test_the_second_part_of_a_name_says_where_our_services_are(tmp_path: Path) -> None:
    initialise(tmp_path)
    settings = GatewaySettings(keys=tmp_path, auth_address="a:1", commerce_address="c:1")

    found = lockstep.own_upstreams(settings, SERVICES)

    assert {name: (each.name, each.target) for name, each in found.items()} == {
        "lockstep.auth.v1.AuthService": ("auth", "a:1"),
        "lockstep.commerce.v1.CartService": ("commerce", "c:1"),
    }


def test_the_services_of_a_process_share_its_upstream(tmp_path: Path) -> None:
    initialise(tmp_path)
    names = [f"lockstep.auth.v1.{name}" for name in ("AuthService", "AuditService")]

    found = lockstep.own_upstreams(GatewaySettings(keys=tmp_path), names)

    assert len(set(found.values())) == 1


def test_our_services_get_a_token_of_their_own_and_the_clients_ip(tmp_path: Path) -> None:
    initialise(tmp_path)

    found = lockstep.own_upstreams(GatewaySettings(keys=tmp_path), SERVICES)

    proofs = [dict(each.proof("192.0.2.1")) for each in found.values()]
    assert [each["x-lockstep-client-address"] for each in proofs] == ["192.0.2.1"] * 2
    assert len({each["x-lockstep-service"] for each in proofs}) == 2


def test_keys_that_cannot_be_read_refuse_the_start_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError) as raised:
        lockstep.own_upstreams(GatewaySettings(keys=tmp_path), SERVICES)
    assert str(raised.value).count("\n") == 0
    assert str(tmp_path) in str(raised.value)


def test_a_wrong_setting_refuses_the_start_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_GATEWAY_BODY_BYTES", "none")
    with pytest.raises(StartError, match=r"^LOCKSTEP_GATEWAY_BODY_BYTES is 'none', but .*$"):
        lockstep.load_settings()


@pytest.mark.parametrize("is_own", [True, False])
def test_only_our_own_services_get_pings(is_own: bool) -> None:
    config = lockstep.gateway_config(GatewaySettings(), is_own=is_own)
    assert config.sends_pings is is_own


@pytest.mark.parametrize("sends_pings", [True, False])
def test_the_gateway_opens_its_channels_as_the_clients_do(sends_pings: bool) -> None:
    ours = dict(channels.channel_options(["/a.B/C"], sends_pings=sends_pings))
    theirs = dict(client_channels.channel_options(["/a.B/C"], sends_pings=sends_pings))
    assert int(ours.pop(channels.RECEIVE_OPTION)) > int(theirs.pop(channels.RECEIVE_OPTION))
    assert ours == theirs


@pytest.mark.parametrize(
    "target", ["a:1", "dns:///a:1", "127.0.0.1:1,127.0.0.2:2", "[::1]:1,[::2]:2"]
)
def test_the_gateway_reads_targets_as_the_clients_do(target: str) -> None:
    assert channels.resolve(target) == client_channels.resolve(target)


@pytest.mark.parametrize(
    "target", ["", "a:1,", "127.0.0.1:1,[::1]:1", "127.0.0.1,127.0.0.2", "a/b:1,c:1"]
)
def test_the_gateway_refuses_targets_as_the_clients_do(target: str) -> None:
    with pytest.raises(ValueError, match=r"must|mixes") as ours:
        channels.resolve(target)
    with pytest.raises(ValueError, match=r"must|mixes") as theirs:
        client_channels.resolve(target)
    assert str(ours.value) == str(theirs.value)


def test_the_document_says_how_to_get_a_token_and_how_to_send_it() -> None:
    said = lockstep.OWN_INFO.description
    assert "`POST /v1/auth/login`" in said
    assert "`Authorization: Bearer <token>`" in said

"""A client that leaves ends the work for it."""

from services.gateway.http.messages import Client


def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    client, ended = Client(), list[str]()
    client.when_left(lambda: ended.append("call"))

    assert (client.has_left, ended) == (False, [])
    client.leave()

    assert (client.has_left, ended) == (True, ["call"])


def test_work_for_a_client_that_has_left_already_ends_at_once() -> None:
    client, ended = Client(), list[str]()
    client.leave()

    client.when_left(lambda: ended.append("call"))

    assert ended == ["call"]


def test_work_that_is_done_is_not_ended() -> None:
    client, ended = Client(), list[str]()
    client.when_left(lambda: ended.append("call"))

    client.when_left(None)
    client.leave()

    assert ended == []

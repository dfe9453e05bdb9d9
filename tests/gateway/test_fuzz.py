"""Random requests: every one soon gets an answer other than 500."""

# ruff: noqa: E501 - rows of names

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep_gateway.binding import strictjson
from lockstep_gateway.binding.binding import RequestBinder
from lockstep_gateway.binding.descriptors import rpcs
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.binding.violations import BadRequest

from tests.gateway.world import SERVICE, World

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
FIELDS = [
    "int32Value", "int64_value", "uint32Value", "floatValue", "boolValue", "stringValue",
    "bytesValue", "color", "tags", "numbers", "labels", "places", "place", "morePlaces", "time", "duration", "mask",
    "wrappedNumber", "wrapped_text", "struct", "value", "list", "any", "one", "other", "third", "ODD",
    "nested",
]  # fmt: skip
ALMOST = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5),
    lambda inner: st.dictionaries(st.just("nested"), inner, min_size=1),
    max_leaves=3,
)


class Binders:
    """Binders by method and path. Hypothesis would print all descriptors of a dict."""

    def __init__(self, registry: Any) -> None:
        forms = MessageForms(registry)
        self._made = {
            f"{binding.method} {binding.path}": RequestBinder(rpc.desc.input, binding, forms)
            for rpc in rpcs(registry, registry.service(SERVICE))
            for binding in rpc.bindings
        }

    def read(self, name: str, query: bytes, body: bytes) -> bool:
        """Tell whether a request is a message; check that a bad one names fields and reasons."""
        try:
            message = self._made[name].message({}, query, body)
        except BadRequest as error:
            assert error.fields  # noqa: PT017 - most examples are no errors
            assert all(reason for _, reason in error.fields)  # noqa: PT017 - as above
            return False
        message.to_binary()
        return True


@pytest.fixture(scope="module")
def binders(library: Any) -> Binders:
    return Binders(library)


unhurried = settings(max_examples=150, deadline=None)


@given(text=st.text(alphabet='{}[]",:0123456789.eE+-tfn\\u\ud800 \n', max_size=60) | st.text())
@unhurried
def test_whatever_is_read_as_json_python_reads_too(text: str) -> None:
    try:
        value = strictjson.read_text(text)
    except (strictjson.JsonError, UnicodeEncodeError):
        return
    assert repr(value) == repr(json.loads(text))


@given(body=st.binary(max_size=200))
@unhurried
def test_any_bytes_are_a_message_or_a_bad_request(body: bytes, binders: Binders) -> None:
    for name in ("POST /v1/everything", "POST /v1/tags", "POST /v1/labels", "POST /v1/text"):
        binders.read(name, b"", body)


@given(value=ALMOST | JSON)
@unhurried
def test_any_json_is_a_message_or_a_bad_request(value: Any, binders: Binders) -> None:
    binders.read("POST /v1/everything", b"", json.dumps(value).encode())


@given(
    query=st.lists(
        st.tuples(st.sampled_from(FIELDS) | st.text(max_size=8), st.text(max_size=12)), max_size=8
    ),
    raw=st.binary(max_size=30),
)
@unhurried
def test_any_query_is_a_message_or_a_bad_request(
    query: list[tuple[str, str]], raw: bytes, binders: Binders
) -> None:
    text = "&".join(f"{name}={value}" for name, value in query).encode()
    for each in (text, raw, text + raw):
        binders.read("GET /v1/everything", each, b"")


@pytest.mark.asyncio(loop_scope="session")
async def test_random_targets_never_are_a_500(world: World) -> None:
    import asyncio
    import random

    pieces = ["/", "v1", "books", "shelves", "rows", "files", "%2F", "%", "%zz", "%00", "%ff",
              ":lend", "?", "&", "=", "int32Value", "everything", "+", "..", "//", "a", "-1", "{", "*", "#"]  # fmt: skip
    chance = random.Random(7)
    for _ in range(40):
        targets = ["/" + "".join(chance.choices(pieces, k=chance.randint(1, 8))) for _ in range(10)]
        answers = await asyncio.gather(*(world.client.get(each) for each in targets))
        for target, answer in zip(targets, answers, strict=True):
            assert answer.status < 500, target
            assert answer.headers["content-type"] == "application/json"
            answer.json  # noqa: B018 - it is JSON

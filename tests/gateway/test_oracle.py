"""Google's own client library as an oracle: the gateway reads its requests as it meant them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from google.api_core.path_template import transcode
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lockstep_gateway.binding.binding import RequestBinder
from lockstep_gateway.binding.descriptors import rpcs
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.binding.routes import Match, Router

from tests.gateway.world import SERVICE

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
NAME = TEXT.filter(lambda text: text.strip("/.") and "/" not in text and ":" not in text)
INT32 = st.integers(-(2**31), 2**31 - 1)
PLACE = st.fixed_dictionaries({}, optional={"city": TEXT})
COLOR = st.sampled_from(["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"])

FLAT = {
    "int32_value": INT32,
    "int64_value": st.integers(-(2**63), 2**63 - 1).map(str),
    "uint32_value": st.integers(0, 2**32 - 1),
    "uint64_value": st.integers(0, 2**64 - 1).map(str),
    "sint32_value": INT32,
    "fixed64_value": st.integers(0, 2**64 - 1).map(str),
    "float_value": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double_value": st.floats(allow_nan=False, allow_infinity=False),
    "bool_value": st.booleans(),
    "string_value": TEXT,
    "color": COLOR,
    "maybe": TEXT,
    "tags": st.lists(TEXT, min_size=1, max_size=3),
    "numbers": st.lists(INT32, min_size=1, max_size=3),
    "colors": st.lists(COLOR, min_size=1, max_size=3),
    "place": st.fixed_dictionaries({"city": TEXT.filter(bool)}),
    "time": st.sampled_from(["2026-01-31T12:00:00Z", "1970-01-01T00:00:00.000000001Z"]),
    "duration": st.sampled_from(["0s", "-1.500s", "3600s"]),
    "wrapped_number": INT32,
    "wrapped_text": TEXT,
}
DEEP = {
    **FLAT,
    "labels": st.dictionaries(TEXT, TEXT, max_size=3),
    "places": st.dictionaries(INT32.map(str), PLACE, max_size=3),
    "more_places": st.lists(PLACE, max_size=3),
    "struct": st.dictionaries(TEXT, st.none() | TEXT | st.booleans(), max_size=3),
    "list": st.lists(st.none() | TEXT, max_size=3),
    "nested": st.fixed_dictionaries({}, optional=FLAT),
}
BOOK = st.fixed_dictionaries(
    {"name": NAME},
    optional={
        "title": TEXT,
        "subjects": st.lists(TEXT, max_size=3),
        "notes": st.dictionaries(TEXT, TEXT, max_size=2),
        "author": st.fixed_dictionaries({}, optional={"full_name": TEXT}),
    },
)
MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    "GetBook": st.fixed_dictionaries({"name": NAME}, optional={"etag": TEXT}),
    "LendBook": st.fixed_dictionaries({"name": NAME}, optional={"etag": TEXT, "place": PLACE}),
    "GetShelf": st.builds(lambda one, other: {"name": f"shelves/{one}/rows/{other}"}, NAME, NAME),
    "CreateBook": st.fixed_dictionaries(
        {"shelf": NAME, "book": BOOK}, optional={"validate_only": st.booleans()}
    ),
    # With a mask, because the gateway infers a missing one.
    "UpdateBook": st.fixed_dictionaries({"book": BOOK, "update_mask": st.just("title,etag")}),
    "Query": st.fixed_dictionaries({}, optional=FLAT),
    "Store": st.fixed_dictionaries({}, optional=DEEP),
}


class Sample:
    """The sample service. Hypothesis would print all descriptors of a dataclass."""

    def __init__(self, registry: Any, descriptors: bytes) -> None:
        forms = MessageForms(registry)
        self.rpcs = {rpc.desc.name: rpc for rpc in rpcs(registry, registry.service(SERVICE))}
        self.router: Router[RequestBinder] = Router()
        for rpc in self.rpcs.values():
            for binding in rpc.bindings:
                binder = RequestBinder(rpc.desc.input, binding, forms)
                self.router.add(binding.method, binding.template, binder)
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
            self.pool.Add(file)

    def __repr__(self) -> str:
        return "Sample"


@pytest.fixture(scope="module")
def sample(library: Any, library_file: Any) -> Sample:
    return Sample(library, library_file.read_bytes())


@pytest.mark.parametrize("name", MESSAGES)
@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_googles_library_sends_arrives(
    name: str,
    data: st.DataObject,
    sample: Sample,
) -> None:
    rpc = sample.rpcs[name]
    binding = rpc.bindings[0]
    type_ = message_factory.GetMessageClass(
        sample.pool.FindMessageTypeByName(rpc.desc.input.type_name)
    )
    message = json_format.ParseDict(data.draw(MESSAGES[name]), type_())
    rule = {"method": binding.method.lower(), "uri": binding.path}
    if binding.body:
        rule["body"] = binding.body
    sent = transcode([rule], message)  # type: ignore[no-untyped-call]

    found = sample.router.find(sent["method"].upper(), sent["uri"])
    assert isinstance(found, Match)
    query = urlencode(_flat(sent["query_params"]), doseq=True).encode()
    arrived = found.target.message(found.values, query, _body(sent, message, binding.body))

    assert type_.FromString(arrived.to_binary()) == message


def _flat(params: Any) -> list[tuple[str, str]]:
    """Write the rest of a message as parameters, like Google's generated clients."""
    if not params:
        return []
    pairs: list[tuple[str, str]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(f"{prefix}.{key}" if prefix else key, each)
        elif isinstance(value, list):
            for each in value:
                walk(prefix, each)
        else:
            pairs.append((prefix, value if isinstance(value, str) else json.dumps(value)))

    walk("", json_format.MessageToDict(params))
    return pairs


def _body(sent: Any, message: Any, body: str) -> bytes:
    part = sent.get("body")
    if not body or part is None:
        return b""
    return json_format.MessageToJson(part).encode()

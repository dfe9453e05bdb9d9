"""The gateway reads JSON as google.protobuf.json_format does. Each difference has a reason."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.binding import RequestBinder
from lockstep_gateway.binding.descriptors import Binding
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.binding.template import parse
from lockstep_gateway.binding.violations import BadRequest
from protobuf import Registry

from tests.gateway.world import PROTOS, compile_protos

EVERYTHING = "acme.library.v1.Everything"
CROSSED = "acme.features.v1.Crossed"
EMPTY = "type.googleapis.com/google.protobuf.Empty"
PLACE = "type.googleapis.com/acme.library.v1.Place"

NUMBERS = [
    *("0", "-0", "1", "-1", "1.0", "1.5", "1e2", "1E2", "1e-2", "100e-2", "1e0", "0.0", "-0.0"),
    *("2147483647", "2147483648", "-2147483648", "-2147483649", "2147483647.0", "2147483648.0"),
    *("4294967295", "4294967296", "9007199254740993", "9007199254740993.0", "12345678901234567.0"),
    *("9223372036854775807", "9223372036854775807.0", "9223372036854775808", "9.3e18"),
    *("18446744073709551615", "18446744073709551615.0", "18446744073709551616", "1e19", "1e300"),
    *('"0"', '"1"', '"-1"', '"1.0"', '"1e2"', '"1.5"', '"12345678901234567.0"', '"01"', '"+1"'),
    *('" 1"', '"1 "', '"1_0"', '""', '"x"', '"NaN"', '"Infinity"', '"-Infinity"', '"0x10"'),
    *("true", "null", "[]", "{}", '"9223372036854775807"', '"9223372036854775807.0"', '"1e400"'),
    *("3.4e38", "3.5e38", "1e-60", "1.7976931348623157e308", '"1e309"', '"inf"', '"nan"', '"1."'),
]
NUMERIC = [
    *("int32Value", "int64Value", "uint32Value", "uint64Value", "sint32Value", "fixed64Value"),
    *("floatValue", "doubleValue", "wrappedNumber"),
]
VALUES = {
    "boolValue": ["true", "false", '"true"', "0", "1", "null", '"True"'],
    "stringValue": ['""', '"x"', "1", "null", '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud83d"', "[]"],
    "bytesValue": [
        *('""', '"YQ=="', '"YQ"', '"YQ="', '"YQ==="', '"="', '"=="', '"==="', '"===="', '"Y"'),
        *('"YWI="', '"YWI"', '"YWJj"', '"YWJj="', '"-_-_"', '"+/+/"', '"-/+_"', '"Y Q"', '"Y=Q="'),
        *('"YQ==YQ=="', '"!"', "1", "null"),
    ],
    "color": ['"COLOR_RED"', '"RED"', "1", "7", "1.0", '"1"', "-1", "2147483648", "null", '""'],
    "maybe": ['""', "null", '"x"'],
    "tags": ["[]", '["a"]', '["a", null]', '"a"', "null", "{}"],
    "colors": ['["COLOR_RED", 2]', '["NOPE"]', "[null]"],
    "labels": ["{}", '{"a": "b"}', '{"a": null}', '{"a": 1}', "[]", "null"],
    "places": ['{"1": {}}', '{"01": {}}', '{"x": {}}', '{"1": null}', '{"1.0": {}}', '{"-1": {}}'],
    "place": ["{}", "null", '{"city": "x"}', '{"nope": 1}', "[]", '"x"'],
    "time": [
        *('"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00.5Z"', '"2026-01-31T12:00:00.Z"'),
        *('"2026-01-31T12:00:00+01:30"', '"2026-01-31T12:00:00"', '"2026-01-31t12:00:00z"'),
        *('"2026-01-31"', '"2026-13-31T12:00:00Z"', '"9999-12-31T23:59:59.999999999Z"'),
        *('"0001-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"2026-01-31T12:00:00.0000000001Z"'),
        *("0", "null", '""', '"2026-01-31T24:00:00Z"', '"2026-01-31T12:00:60Z"'),
    ],
    "duration": [
        *('"3s"', '"3.s"', '"3.5s"', '".5s"', '"-3.5s"', '"-0.5s"', '"3"', '"3 s"', '"s"', '"+3s"'),
        *('"3.0000000001s"', '"3.000000001s"', '"315576000000s"', '"315576000001s"', '"1e3s"'),
        *("3", "null", '""', '"--3s"', '"-s"'),
    ],
    "mask": [
        '""',
        '"a"',
        '"a,b.c"',
        '"displayName"',
        '"odd_name"',
        '"a,,b"',
        "null",
        '["a"]',
        '","',
    ],
    "wrappedText": ['""', '"x"', "null", "1"],
    "wrappedBool": ["true", "null", '"true"'],
    "struct": ["{}", '{"a": [1.5, null, {"b": true}]}', "null", "[]", '{"a": 1e400}'],
    "value": ["null", "1", '"x"', "[]", "{}", "1e308", "12345678901234567890"],
    "list": ["[]", "[null]", "{}", "null"],
    "any": [
        "{}",
        "null",
        f'{{"@type": "{EMPTY}"}}',
        f'{{"@type": "{EMPTY}", "value": {{}}}}',
        f'{{"@type": "{EMPTY}", "value": {{"a": 1}}}}',
        f'{{"@type": "{EMPTY}", "value": null}}',
        f'{{"@type": "{EMPTY}", "a": 1}}',
        f'{{"@type": "{PLACE}", "city": "x"}}',
        f'{{"@type": "{PLACE}", "value": {{}}}}',
        f'{{"city": "x", "@type": "{PLACE}"}}',
        '{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}',
        '{"@type": "type.googleapis.com/no.Such"}',
        '{"@type": "acme.library.v1.Place"}',
        '{"@type": 1}',
        '{"city": "x"}',
    ],
    "one": ['"x"', "null", '"x", "other": 1', 'null, "other": 1', '"x", "other": null'],
    "ODD": ['"x"', "null"],
    "odd_name": ['"x"', '"x", "ODD": "y"'],
    "nope": ["1", "null"],
    "Maybe": ['"x"'],
    "int32Value": ['1, "int32Value": 2', '1, "int32_value": 2'],
}
CROSSES = [
    *('{"first": "1"}', '{"second": "1"}', '{"third": "1"}', '{"first": "1", "third": "2"}'),
    *('{"second": "1", "third": "2"}', '{"left": 1}', '{"right": 1}', '{"other": 1}'),
    *('{"inner": {"second": "1"}}', '{"nested": {"third": "1"}}', '{"first": "1", "second": "2"}'),
    *(
        '{"inner_map": {"a": {"second": "1"}}}',
        '{"right": 1, "other": 2}',
        '{"nested": {"nested": {}}}',
    ),
]
CASES = [
    *(
        (EVERYTHING, f'{{"{name}": {value}}}')
        for name, value in itertools.product(NUMERIC, NUMBERS)
    ),
    *((EVERYTHING, f'{{"{name}": {each}}}') for name, values in VALUES.items() for each in values),
    *((CROSSED, text) for text in CROSSES),
]

ANY_NUMBER = r'\{"\w+": '
# A line for each difference: the JSON that it is about, and the reason.
DIFFERENCES = [
    (ANY_NUMBER + r'"(\+1|1_0|1\.)"\}', "Python's int() and float() read more than ProtoJSON has"),
    (r'\{"(float|double)Value": " 1"\}', "float() ignores spaces, int() does not"),
    (r'\{"(float|double)Value": "1 "\}', "float() ignores spaces, int() does not"),
    (r'\{"(float|double)Value": "inf"\}', "ProtoJSON writes Infinity"),
    (r'\{"(float|double)Value": true\}', "a boolean is not a number"),
    (
        r'\{"(float|double)Value": "1e(309|400)"\}',
        "ProtoJSON refuses what does not fit, here 1e400",
    ),
    (r'\{"struct": \{"a": 1e400\}\}', "JSON has no infinite numbers"),
    (ANY_NUMBER + r'"?(9007199254740993|12345678901234567)\.0"?\}', "a float loses digits"),
    (ANY_NUMBER + r'"?(9223372036854775807|18446744073709551615)\.0"?\}', "a float loses digits"),
    (r'\{"bytesValue": "(YQ=|YQ===|=+|YWJj=)"\}', "padding must be whole, or absent"),
    (r'\{"bytesValue": "(Y=Q=|YQ==YQ==|!)"\}', "Python leaves out what is not base64"),
    (r'\{"color": (1\.0|"1")\}', "an enum is a name or a whole number"),
    (r'\{"places": \{"1\.0": \{\}\}\}', "a key of a map is digits"),
    (r'\{"place": \[\]\}', "a list is not a message"),
    (r'\{"time": ".*\.Z"\}', "RFC 3339 has digits behind the point"),
    (r'\{"duration": "(3\.s|3 s|\+3s)"\}', "Python's int() reads more than ProtoJSON has"),
    (r'\{"duration": "3\.0000000001s"\}', "nanoseconds are the limit"),
    (r'\{"mask": "(a,,b|,)"\}', "a path is not empty"),
    (r'\{"any": .*Empty", "value": \{\}\}\}', "Go writes Empty in this form"),
    (r'\{"any": \{"@type": "acme\.library\.v1\.Place"\}\}', "a type URL has a slash"),
    (r'\{"odd_name": "x", "ODD": "y"\}', "two names of one field are given twice"),
    (r'\{"int32Value": 1, "int32_value": 2\}', "two names of one field are given twice"),
    (r'\{"first": "1", "second": "2"\}', "two names of one field are given twice"),
]


class Oracle:
    """Both readers. Pytest would print all descriptors of a dataclass."""

    def __init__(self, data: bytes) -> None:
        self.registry: Registry = descriptors.load(data)
        self.forms = MessageForms(self.registry)
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            self.pool.Add(file)

    def __repr__(self) -> str:
        return "Oracle"

    def gateway(self, name: str, text: str) -> bytes | None:
        """Return the message, in the form of the oracle; None if the gateway refuses it."""
        message = self.registry.message(name)
        assert message is not None
        binding = Binding("POST", "/a", parse("/a"), "*")
        try:
            made = RequestBinder(message, binding, self.forms).message({}, b"", text.encode())
        except BadRequest:
            return None
        type_: Any = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))
        again: bytes = type_.FromString(made.to_binary()).SerializeToString(deterministic=True)
        return again

    def googles(self, name: str, text: str) -> bytes | None:
        """Return the message; None if json_format refuses it."""
        type_: Any = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))
        try:
            message = json_format.Parse(text, type_(), descriptor_pool=self.pool)
            made: bytes = message.SerializeToString(deterministic=True)
        except (json_format.ParseError, ValueError, TypeError, OverflowError):
            return None
        return made


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    out: Path = tmp_path_factory.mktemp("names") / "names.binpb"
    return Oracle(compile_protos(PROTOS, out, "acme/features/v1/names.proto"))


def test_both_readers_agree_but_for_these_differences(oracle: Oracle) -> None:
    unused = {pattern for pattern, _ in DIFFERENCES}
    for name, text in CASES:
        ours, theirs = oracle.gateway(name, text), oracle.googles(name, text)
        listed = {pattern for pattern, _ in DIFFERENCES if re.fullmatch(pattern, text)}
        if ours == theirs:
            continue
        assert listed, (text, ours, theirs)
        unused -= listed
    assert unused == set()


@pytest.mark.parametrize("text", CROSSES)
def test_a_name_of_two_fields_is_the_json_name_of_one(oracle: Oracle, text: str) -> None:
    """JSON names win, as in json_format. The message that arrives has no field mistaken."""
    ours = oracle.gateway(CROSSED, text)
    if text != '{"first": "1", "second": "2"}':
        assert ours == oracle.googles(CROSSED, text)


@pytest.mark.parametrize("number", ["12345678901234567.0", "1.2345678901234567e16"])
def test_a_whole_number_keeps_its_digits(oracle: Oracle, number: str) -> None:
    expected = oracle.googles(EVERYTHING, '{"int64Value": 12345678901234567}')
    for text in (number, f'"{number}"'):
        assert oracle.gateway(EVERYTHING, f'{{"int64Value": {text}}}') == expected

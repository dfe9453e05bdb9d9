"""The effect of a body on a message."""

# ruff: noqa: E501 - a table is read by its rows

from typing import Any

from tests.gateway.cases import Case, refused

MILLION = 10**6


def ok(name: str, body: Any, arrived: dict[str, Any], envoy: str = "") -> Case:
    return Case(name, "POST /v1/everything", "Store", arrived, body=body, envoy=envoy)


def bad(name: str, body: Any, *fields: str) -> Case:
    return refused(name, "POST /v1/everything", *fields, body=body)


def same(name: str, body: dict[str, Any], envoy: str = "") -> Case:
    return ok(name, body, body, envoy)


def nested(levels: int) -> dict[str, Any]:
    return {"nested": nested(levels - 1)} if levels else {}


BODIES = [
    same("nothing", {}),
    ok("no body is {}", None, {}),
    ok("space is no body", b" \n ", {}, "Envoy refuses it"),
    ok("space around JSON", b'\n {"tags": ["a"]}\t\r\n', {"tags": ["a"]}),
    ok("proto names", {"int32_value": 1, "odd_name": "x"}, {"int32Value": 1, "ODD": "x"}),
    same("numbers", {"int32Value": -1, "uint32Value": 1, "sint32Value": 2, "doubleValue": 0.5}),
    same("wide numbers as texts", {"int64Value": "-5", "uint64Value": "18446744073709551615"}),
    ok("wide numbers as numbers", b'{"int64Value": 9007199254740993}', {"int64Value": "9007199254740993"}),
    ok("a whole number with a fraction of zero", b'{"int32Value": 1.0}', {"int32Value": 1}),
    ok("a whole number with an exponent", b'{"int32Value": 1e2}', {"int32Value": 100}),
    ok("a narrow number as text", {"int32Value": "5"}, {"int32Value": 5}),
    same("infinity", {"doubleValue": "-Infinity"}),
    same("text with every kind of character", {"stringValue": 'a\u0000\u20ac\U0001f600"\\/'}),
    ok("a surrogate pair", b'{"stringValue": "\\ud83d\\ude00"}', {"stringValue": "\U0001f600"}),
    same("base64", {"bytesValue": "YWI="}),
    ok("base64 for URLs", {"bytesValue": "-_8"}, {"bytesValue": "+/8="}),
    ok("enums", {"color": 1, "colors": ["COLOR_BLUE", 1]}, {"color": "COLOR_RED", "colors": ["COLOR_BLUE", "COLOR_RED"]}),
    same("presence", {"maybe": ""}),
    ok("null is absence", {"maybe": None, "place": None, "tags": None, "labels": None, "wrappedNumber": None}, {}),
    ok("null is a value of Value", {"value": None}, {"value": None}),
    same("maps", {"labels": {"a": "b", "": "c"}, "places": {"-1": {"city": "x"}}}),
    same("messages", {"place": {"city": "x"}, "morePlaces": [{}, {"city": "y"}]}),
    same("well-known types", {"time": "2026-01-31T12:00:00.500Z", "duration": "-1.500s", "mask": "a,b.c"}),
    same("wrappers", {"wrappedNumber": 0, "wrappedText": "", "wrappedBool": False}),
    same("any JSON", {"struct": {"a": [1.5, {"b": None}]}, "value": "x", "list": [True]}),
    same("Any", {"any": {"@type": "type.googleapis.com/acme.library.v1.Place", "city": "x"}}),
    same("Any of a well-known type", {"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}),
    same("one of a oneof", {"other": 0}),
    ok("the other of a oneof is null", {"one": None, "other": 1}, {"other": 1}),
    same("99 levels", nested(98)),
]  # fmt: skip

BAD_BODIES = [
    bad("no JSON", b"{", "body"),
    bad("text behind it", b"{} {}", "body"),
    bad("a mark before it", b"\xef\xbb\xbf{}", "body"),
    bad("no UTF-8", b'{"stringValue": "\xff"}', "body"),
    bad("UTF-16", '{"stringValue": "a"}'.encode("utf-16"), "body"),
    bad("single quotes", b"{'tags': []}", "body"),
    bad("a trailing comma", b'{"tags": [],}', "body"),
    bad("a comment", b"{} // no", "body"),
    bad("a control character", b'{"stringValue": "\x01"}', "body"),
    bad("NaN", b'{"doubleValue": NaN}', "body"),
    bad("Infinity", b'{"doubleValue": Infinity}', "body"),
    bad("a list", b"[]", "body"),
    bad("null", b"null", "body"),
    bad("a text", b'"x"', "body"),
    bad("an unknown field", {"nope": 1}, "nope"),
    bad("an unknown field deep inside", {"morePlaces": [{}, {"nope": 1}]}, "morePlaces[1].nope"),
    bad("an extension", {"[acme.x]": 1}, "[acme.x]"),
    bad("all wrong ones are named", {"nope": 1, "int32Value": "x", "place": {"city": 5}}, "nope", "int32Value", "place.city"),
    bad("a member twice", b'{"int32Value": 1, "int32Value": 1}', "int32Value"),
    bad("a member twice, deep inside", b'{"struct": {"a": [{"b": 1, "b": 2}]}}', "b"),
    bad("twice under two names", {"int32Value": 1, "int32_value": 1}, "int32Value"),
    bad("a key twice", {"places": {"1": {}, "01": {}}}, "places.01"),
    bad("two of a oneof", {"one": "x", "other": 1}, "other"),
    bad("half a surrogate pair", b'{"stringValue": "\\ud83d"}', "body"),
    bad("half a surrogate pair in a name", b'{"labels": {"\\udc00": "x"}}', "body"),
    bad("a text for a bool", {"boolValue": "true"}, "boolValue"),
    bad("a number for a bool", {"boolValue": 1}, "boolValue"),
    bad("a bool for a number", {"int32Value": True}, "int32Value"),
    bad("a number for a text", {"stringValue": 1}, "stringValue"),
    bad("a fraction", b'{"int32Value": 1.5}', "int32Value"),
    bad("underscores", {"int32Value": "1_0"}, "int32Value"),
    bad("a space", {"int32Value": " 1"}, "int32Value"),
    bad("a plus", {"int32Value": "+1"}, "int32Value"),
    bad("full-width digits", {"int64Value": "\uff11"}, "int64Value"),
    bad("a leading zero", b'{"int32Value": 01}', "body"),
    bad("too large", {"int32Value": 2**31}, "int32Value"),
    bad("too large for 64 bits", {"uint64Value": 2**64}, "uint64Value"),
    bad("negative", {"uint64Value": -1}, "uint64Value"),
    bad("a million digits", b'{"int64Value": ' + b"9" * MILLION + b"}", "body"),
    bad("a million digits as text", {"int64Value": "9" * MILLION}, "int64Value"),
    bad("a million digits for a float", b'{"doubleValue": ' + b"9" * MILLION + b"}", "body"),
    bad("a huge exponent", b'{"doubleValue": 1e999}', "body"),
    bad("a huge exponent in any JSON", b'{"value": 1e999}', "body"),
    bad("too large for 32 bits", {"floatValue": 1e39}, "floatValue"),
    bad("an unknown enum", {"color": "RED"}, "color"),
    bad("an enum as a fraction", b'{"color": 1.0}', "color"),
    bad("null in a list", {"tags": ["a", None]}, "tags[1]"),
    bad("null in a map", {"labels": {"a": None}}, "labels.a"),
    bad("no list", {"tags": "a"}, "tags"),
    bad("no map", {"labels": []}, "labels"),
    bad("a key that is no number", {"places": {"x": {}}}, "places.x"),
    bad("no message", {"place": "x"}, "place"),
    bad("a bad time", {"time": "2026-13-01T00:00:00Z"}, "time"),
    bad("a time as a number", {"time": 5}, "time"),
    bad("a bad duration", {"duration": "1_0s"}, "duration"),
    bad("a bad mask", {"mask": "odd_name"}, "mask"),
    bad("a bad wrapped number", {"wrappedNumber": "x"}, "wrappedNumber"),
    bad("no struct", {"struct": []}, "struct"),
    bad("no list of values", {"list": {}}, "list"),
    bad("an Any without a type", {"any": {"city": "x"}}, "any.@type"),
    bad("an Any of an unknown type", {"any": {"@type": "type.googleapis.com/no.Such"}}, "any.@type"),
    bad("an Any with a wrong field", {"any": {"@type": "type.googleapis.com/acme.library.v1.Place", "nope": 1}}, "any.nope"),
    bad("101 levels", b'{"list": ' + b"[" * 100 + b"]" * 100 + b"}", "body"),
    bad("100,000 levels", b'{"list": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    bad("90,000 levels of objects", b'{"nested":' * 90_000 + b"{}" + b"}" * 90_000, "body"),
    bad("lists in lists, more than the codec takes", b'{"list": ' + b"[" * 90 + b"]" * 90 + b"}", "body"),
    bad("100,000 levels that never end", b"[" * 100_000, "body"),
    bad("brackets in texts do not count, others do", b'{"stringValue": "' + b"[" * 200 + b'", "list": ' + b"[" * 101 + b"]" * 101 + b"}", "body"),
]  # fmt: skip

PLACES = [
    Case("a message is the body", "POST /v1/shelves/a/books", "CreateBook", {"shelf": "a", "book": {"title": "x"}}, body={"title": "x"}),
    Case("no body is an empty message", "POST /v1/shelves/a/books", "CreateBook", {"shelf": "a", "book": {}}),
    Case("a list is the body", "POST /v1/tags?int32Value=1", "StoreTags", {"tags": ["a", "b"], "int32Value": 1}, body=["a", "b"]),
    Case("a text is the body", "POST /v1/text", "StoreText", {"stringValue": "x"}, body="x"),
    Case("null is no text", "POST /v1/text", "StoreText", {}, body=b"null"),
    Case("a map is the body", "POST /v1/labels", "StoreLabels", {"labels": {"a": "b"}}, body={"a": "b"}),
    Case("the same value in path and body", "POST /v1/books/dune:lend", "LendBook", {"name": "dune"}, body={"name": "dune"}),
    Case("the same number in path and body", "POST /v1/numbers/5", "Store", {"int64Value": "5"}, body={"int64Value": "5"}, envoy="Envoy sends a field of path and body twice"),
    Case("the path where the body is null", "POST /v1/books/dune:lend", "LendBook", {"name": "dune"}, body={"name": None}),
    Case("the same value deep in path and body", "PUT /v1/books/dune", "UpdateBook", {"book": {"name": "dune"}}, body={"name": "dune"}),
    Case("no body where none is taken", "DELETE /v1/books/dune", "DeleteBook", {"name": "dune"}),
    Case("an empty object where none is taken", "DELETE /v1/books/dune", "DeleteBook", {"name": "dune"}, body={}),
    refused("another value in path and body", "POST /v1/books/dune:lend", "name", body={"name": "emma"}),
    refused("another value deep in path and body", "PUT /v1/books/dune", "book.name", body={"name": "emma"}),
    refused("the path of a body that is a field", "PUT /v1/books/dune", "book.author.bornIn.city", body={"author": {"bornIn": {"city": 1}}}),
    refused("a body where none is taken", "DELETE /v1/books/dune", "body", body={"name": "x"}),
    refused("no list", "POST /v1/tags", "tags", body={"tags": []}),
]  # fmt: skip

MASKS = [
    ("a field", {"title": "x"}, "title"),
    ("several fields, in their order", {"title": "x", "etag": "y"}, "title,etag"),
    ("a null is a field to clear", {"title": None}, "title"),
    ("members of messages by their paths", {"author": {"fullName": "x", "bornIn": {"city": "y"}}}, "author.fullName,author.bornIn.city"),
    ("an empty message whole", {"author": {}}, "author"),
    ("a null message whole", {"author": None}, "author"),
    ("lists whole", {"subjects": ["a"]}, "subjects"),
    ("maps whole", {"notes": {"a": "b"}}, "notes"),
    ("times whole", {"printTime": "2026-01-31T12:00:00Z"}, "printTime"),
    ("structs whole", {"extra": {"a": {"b": 1}}}, "extra"),
    ("a field by its proto name", {"page_count": 0}, "pageCount"),
    ("not what is in the path", {"name": "dune", "title": "x"}, "title"),
    ("nothing", {}, None),
]  # fmt: skip

"""The effect of query parameters on a message."""

# ruff: noqa: E501 - a table is read by its rows

from tests.gateway.cases import Case, refused


def ok(name: str, query: str, arrived: dict[str, object], envoy: str = "") -> Case:
    return Case(name, f"GET /v1/everything?{query}", "Query", arrived, envoy=envoy)


def bad(name: str, query: str, *fields: str) -> Case:
    return refused(name, f"GET /v1/everything?{query}", *fields)


STRICTER = "Envoy's parameters know fewer forms"

QUERIES = [
    ok("nothing", "", {}),
    ok("a JSON name", "int32Value=5", {"int32Value": 5}),
    ok("a proto name", "int32_value=5", {"int32Value": 5}),
    ok("a name that was given", "ODD=x", {"ODD": "x"}),
    ok("a proto name beside a given one", "odd_name=x", {"ODD": "x"}),
    ok("a nested field", "place.city=Rome", {"place": {"city": "Rome"}}),
    ok("deeper", "nested.nested.place.city=Rome", {"nested": {"nested": {"place": {"city": "Rome"}}}}),
    ok("a nested repeated field", "nested.tags=a&nested.tags=b", {"nested": {"tags": ["a", "b"]}}),
    ok("repeated", "tags=a&tags=b", {"tags": ["a", "b"]}),
    ok("repeated under both names", "numbers=1&numbers=2", {"numbers": [1, 2]}),
    ok("repeated enums", "colors=COLOR_RED&colors=2", {"colors": ["COLOR_RED", "COLOR_BLUE"]}),
    ok("an enum by name", "color=COLOR_BLUE", {"color": "COLOR_BLUE"}),
    ok("an enum by number", "color=1", {"color": "COLOR_RED"}),
    ok("an unknown number of an open enum", "color=77", {"color": 77}, STRICTER),
    ok("the largest numbers", "int64Value=9223372036854775807&uint64Value=18446744073709551615", {"int64Value": "9223372036854775807", "uint64Value": "18446744073709551615"}),
    ok("the smallest number", "int64Value=-9223372036854775808", {"int64Value": "-9223372036854775808"}),
    ok("leading zeros", "int32Value=007", {"int32Value": 7}),
    ok("a float", "doubleValue=-1.5e3", {"doubleValue": -1500.0}),
    ok("infinity", "doubleValue=Infinity", {"doubleValue": "Infinity"}),
    ok("true", "boolValue=true", {"boolValue": True}),
    ok("a plus is a space", "stringValue=a+b", {"stringValue": "a b"}),
    ok("an escaped plus", "stringValue=a%2Bb", {"stringValue": "a+b"}),
    ok("an escaped name", "string%56alue=x", {"stringValue": "x"}),
    ok("UTF-8", "stringValue=%E2%82%AC", {"stringValue": "\u20ac"}),
    ok("an equals sign in a value", "stringValue=a=b", {"stringValue": "a=b"}),
    ok("a semicolon is a character", "stringValue=a;b", {"stringValue": "a;b"}),
    ok("an empty text has presence", "maybe=", {"maybe": ""}),
    ok("no equals sign", "maybe", {"maybe": ""}, STRICTER),
    ok("empty pairs", "&&stringValue=x&", {"stringValue": "x"}),
    ok("base64", "bytesValue=YWI%3D", {"bytesValue": "YWI="}),
    ok("base64 for URLs", "bytesValue=-_8", {"bytesValue": "+/8="}),
    ok("a time", "time=2026-01-31T12:00:00Z", {"time": "2026-01-31T12:00:00Z"}),
    ok("a duration", "duration=1.5s", {"duration": "1.500s"}),
    ok("a mask", "mask=oddName,place.city", {"mask": "oddName,place.city"}),
    ok("wrappers", "wrappedNumber=5&wrappedText=x&wrappedBool=false", {"wrappedNumber": 5, "wrappedText": "x", "wrappedBool": False}),
    ok("an empty wrapped text", "wrappedText=", {"wrappedText": ""}),
    ok("a struct in JSON", "struct=%7B%22a%22%3A1%7D", {"struct": {"a": 1}}, STRICTER),
    ok("one of a oneof", "one=x", {"one": "x"}),
    ok("a message of a oneof", "third.city=x", {"third": {"city": "x"}}),
]  # fmt: skip

BAD_QUERIES = [
    bad("an unknown parameter", "nope=1", "nope"),
    bad("an unknown nested parameter", "place.nope=1", "place.nope"),
    bad("all wrong ones are named", "nope=1&int32Value=x&boolValue=1", "nope", "int32Value", "boolValue"),
    bad("through a text", "stringValue.x=1", "stringValue.x"),
    bad("through a list", "morePlaces.city=x", "morePlaces.city"),
    bad("through a time", "time.seconds=1", "time.seconds"),
    bad("a message", "place=x", "place"),
    bad("a map", "labels=x", "labels"),
    bad("a key of a map in brackets", "labels[a]=x", "labels[a]"),
    bad("a field in brackets", "tags[0]=x", "tags[0]"),
    bad("a parameter of nobody", "utm_source=x", "utm_source"),
    bad("a key of a map", "labels.a=x", "labels.a"),
    bad("an Any", "any=x", "any"),
    bad("a list of messages", "morePlaces=x", "morePlaces"),
    bad("no name", "=x", ""),
    bad("the other case of a letter", "Int32Value=1", "Int32Value"),
    bad("a single field twice", "int32Value=1&int32Value=2", "int32Value"),
    bad("twice under two names", "int32Value=1&int32_value=1", "int32Value"),
    bad("two of a oneof", "one=x&other=1", "other"),
    bad("two of a oneof, one a message", "one=x&third.city=1", "third.city"),
    bad("underscores in a number", "int32Value=1_000", "int32Value"),
    bad("a space before a number", "int32Value=+5", "int32Value"),
    bad("a plus before a number", "int32Value=%2B5", "int32Value"),
    bad("Arabic digits", "int32Value=%D9%A3", "int32Value"),
    bad("full-width digits", "int32Value=%EF%BC%91", "int32Value"),
    bad("hexadecimal", "int32Value=0x10", "int32Value"),
    bad("a fraction", "int32Value=1.0", "int32Value"),
    bad("an exponent", "int32Value=1e2", "int32Value"),
    bad("no number", "int32Value=", "int32Value"),
    bad("too large", "int32Value=2147483648", "int32Value"),
    bad("too small", "uint32Value=-1", "uint32Value"),
    bad("far too large", f"int64Value={'9' * 1000}", "int64Value"),
    bad("a word for a float", "doubleValue=inf", "doubleValue"),
    bad("an underscore in a float", "doubleValue=1_0", "doubleValue"),
    bad("a float that overflows", "doubleValue=1e999", "doubleValue"),
    bad("a float for 32 bits that overflows", "floatValue=1e39", "floatValue"),
    bad("True", "boolValue=True", "boolValue"),
    bad("1", "boolValue=1", "boolValue"),
    bad("an unknown enum", "color=COLOR_GREEN", "color"),
    bad("an enum in the wrong case", "color=color_red", "color"),
    bad("a bad time", "time=yesterday", "time"),
    bad("a bad duration", "duration=5", "duration"),
    bad("a mask in proto names", "mask=odd_name", "mask"),
    bad("a mask of no names", "mask=%F1%A3%9C%9Ds", "mask"),
    bad("a mask that has no way back", "mask=a_", "mask"),
    bad("bad base64", "bytesValue=!!", "bytesValue"),
    bad("a bad escape", "stringValue=%zz", "query"),
    bad("no UTF-8", "stringValue=%ff", "query"),
    bad("too many", "&".join(["tags=a"] * 2000), "query"),
    refused("a field of the path", "GET /v1/books/dune?name=other", "name"),
    refused("a field of the path, the same value", "GET /v1/books/dune?name=dune", "name"),
    refused("a nested field of the path", "PUT /v1/books/dune?book.name=x", "book.name", body={}),
    refused("a field of the body", "PUT /v1/books/dune?book.title=x", "book.title", body={}),
    refused("the whole request is in the body", "POST /v1/everything?int32Value=1", "int32Value", body={}),
]  # fmt: skip

OTHER_PLACES = [
    Case("beside a path", "GET /v1/books/dune?etag=x&place.city=Rome", "GetBook", {"name": "dune", "etag": "x", "place": {"city": "Rome"}}),
    Case("beside a body", "POST /v1/shelves/a/books?validateOnly=true", "CreateBook", {"shelf": "a", "book": {"title": "x"}, "validateOnly": True}, body={"title": "x"}),
    Case("nested in a list request", "GET /v1/books?pageSize=5&filter.authorName=Frank+Herbert&filter.colors=COLOR_RED&filter.after=2026-01-31T12:00:00Z", "ListBooks", {"pageSize": 5, "filter": {"authorName": "Frank Herbert", "colors": ["COLOR_RED"], "after": "2026-01-31T12:00:00Z"}}),
]  # fmt: skip

"""The method of a path, and its variables."""

# ruff: noqa: E501 - a table is read by its rows

from tests.gateway.cases import Case, refused

PATHS = [
    Case("one segment is a variable", "GET /v1/books/dune", "GetBook", {"name": "dune"}),
    Case("a literal wins over a variable", "GET /v1/books/newest", "GetNewest"),
    Case("the method decides", "DELETE /v1/books/dune", "DeleteBook", {"name": "dune"}),
    Case("a verb is split off", "POST /v1/books/dune:lend", "LendBook", {"name": "dune"}, body={}),
    Case("only the last colon makes a verb", "POST /v1/books/a:b:lend", "LendBook", {"name": "a:b"}, body={}),
    Case("a verb that no rule knows is a part of the segment", "GET /v1/books/dune:burn", "GetBook", {"name": "dune:burn"}),
    Case("a verb of another rule is a part of the segment too", "GET /v1/books/dune:pages", "GetBook", {"name": "dune:pages"}, envoy="Envoy takes every known verb off every path"),
    Case("several segments are one variable", "GET /v1/shelves/a/rows/b", "GetShelf", {"name": "shelves/a/rows/b"}),
    Case("two stars take what is left", "GET /v1/files/a/b/c", "GetShelf", {"name": "files/a/b/c"}),
    Case("two stars take nothing", "GET /v1/files", "GetShelf", {"name": "files"}),
    Case("two stars before a verb", "GET /v1/archive/a/b:pages", "GetShelf", {"name": "archive/a/b"}),
    Case("a dotted variable fills a message", "PUT /v1/books/dune", "UpdateBook", {"book": {"name": "dune", "title": "x"}}, body={"title": "x"}),
    Case("variables of other types", "GET /v1/by-number/-5/true/COLOR_RED", "Query", {"int32Value": -5, "boolValue": True, "color": "COLOR_RED"}),
    Case("an enum by its number", "GET /v1/by-number/1/false/2", "Query", {"int32Value": 1, "color": "COLOR_BLUE"}),
    Case("a method of one's own, of the parser's list", "LOCK /v1/custom/dune", "Custom", {"name": "dune"}),
    Case("any method: GET", "GET /v1/any/dune", "Custom", {"name": "dune"}),
    Case("any method: PUT", "PUT /v1/any/dune", "Custom", {"name": "dune"}),
]  # fmt: skip

DECODING = [
    Case("an escape is decoded", "GET /v1/books/d%75ne", "GetBook", {"name": "dune"}),
    Case("once only", "GET /v1/books/a%2541", "GetBook", {"name": "a%41"}),
    Case("UTF-8", "GET /v1/books/%C3%A9", "GetBook", {"name": "\u00e9"}),
    Case("a slash in one segment", "GET /v1/books/a%2Fb", "GetBook", {"name": "a/b"}),
    Case("a slash in several segments stays as it came", "GET /v1/files/a%2Fb%20c/%2f", "GetShelf", {"name": "files/a%2Fb c/%2f"}),
    Case("a plus is a plus", "GET /v1/books/a+b", "GetBook", {"name": "a+b"}),
    Case("an escaped colon is no verb", "POST /v1/books/dune%3Alend:lend", "LendBook", {"name": "dune:lend"}, body={}),
    Case("an escaped literal is that literal", "GET /v1/b%6Foks/dune", "GetBook", {"name": "dune"}, envoy="Envoy compares literals as they came"),
    Case("an escaped letter may be the newest", "GET /v1/books/newes%74", "GetNewest", envoy="Envoy compares literals as they came"),
    Case("a NUL is a character", "GET /v1/books/a%00b", "GetBook", {"name": "a\0b"}),
    refused("a percent sign alone", "GET /v1/books/%", "path"),
    refused("a bad escape", "GET /v1/books/%zz", "path"),
    refused("half an escape", "GET /v1/books/a%4", "path"),
    refused("an escape that is no UTF-8", "GET /v1/books/%ff", "path"),
    refused("an overlong escape", "GET /v1/books/%c0%80", "path"),
    refused("a bad escape in several segments", "GET /v1/files/a/%zz", "path"),
    refused("a bad escape anywhere", "GET /nowhere/%zz", "path"),
]  # fmt: skip

NOT_FOUND = [
    Case("nothing there", "GET /v1/nothing", status=404),
    Case("the root", "GET /", status=404),
    Case("a trailing slash is another path", "GET /v1/books/dune/", status=404, envoy="Envoy ignores a trailing slash"),
    Case("a variable is never empty", "GET /v1/books/", status=404, envoy="Envoy ignores a trailing slash"),
    Case("nor before a verb, so there it is a name", "POST /v1/books/:lend", body={}, status=405, envoy="Envoy sees another path"),
    Case("nor inside", "GET /v1/shelves//rows/b", status=404, envoy="Envoy lets * match an empty segment"),
    Case("two slashes are not one", "GET //v1/books/dune", status=404),
    Case("dots are not resolved", "GET /v1/x/../books/dune", status=404),
    Case("letters have a case", "GET /v1/Books/dune", status=404),
    Case("a method without a rule", "POST /acme.library.v1.Library/Hidden", status=404, body={}),
]  # fmt: skip

NOT_ALLOWED = [
    ("POST /v1/books/newest", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
    ("POST /v1/books/dune", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
    ("DELETE /v1/books", "GET, HEAD, OPTIONS, POST"),
    ("GET /v1/books/dune:lend", "OPTIONS, POST"),
    ("GET /v1/custom/x", "LOCK, OPTIONS"),
    ("POST /healthz", "GET, HEAD, OPTIONS"),
    ("DELETE /openapi.json", "GET, HEAD, OPTIONS"),
]

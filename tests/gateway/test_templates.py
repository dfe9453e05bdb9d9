"""The grammar of templates, and the routes of paths."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep_gateway.binding import routes
from lockstep_gateway.binding.routes import (
    BadPathError,
    DuplicateRouteError,
    Match,
    OtherMethods,
    Router,
)
from lockstep_gateway.binding.template import TemplateError, Variable, Wildcard, parse

ONE, REST = Wildcard(rest=False), Wildcard(rest=True)

VALID = [
    ("/v1/books", ("v1", "books"), "", ()),
    ("/*", (ONE,), "", ()),
    ("/**", (REST,), "", ()),
    ("/v1/{name}", ("v1", ONE), "", (Variable("name", 1, 2, False),)),
    ("/v1/{a.b_c.d1}", ("v1", ONE), "", (Variable("a.b_c.d1", 1, 2, False),)),
    ("/v1/{name=*}", ("v1", ONE), "", (Variable("name", 1, 2, False),)),
    ("/v1/{name=**}", ("v1", REST), "", (Variable("name", 1, None, True),)),
    ("/v1/{name=a/*}/c", ("v1", "a", ONE, "c"), "", (Variable("name", 1, 3, True),)),
    ("/v1/{name=a/**}", ("v1", "a", REST), "", (Variable("name", 1, None, True),)),
    ("/v1/{name=fixed}", ("v1", "fixed"), "", (Variable("name", 1, 2, False),)),
    ("/v1/{a}/{b}", ("v1", ONE, ONE), "", (Variable("a", 1, 2, False), Variable("b", 2, 3, False))),
    ("/v1/books:add", ("v1", "books"), "add", ()),
    ("/v1/{name=**}:undo", ("v1", REST), "undo", (Variable("name", 1, None, True),)),
    ("/v1/a-b_c.d~e!$&'()+,;=@", ("v1", "a-b_c.d~e!$&'()+,;=@"), "", ()),
    # Beyond the grammar, as grpc-gateway and Envoy read them.
    ("/", ("",), "", ()),
    ("/a:b:c", ("a",), "b:c", ()),
    ("/**/a", (REST, "a"), "", ()),
    ("/{a=**}/b", (REST, "b"), "", (Variable("a", 0, -1, True),)),
    ("/{a=**/b}", (REST, "b"), "", (Variable("a", 0, None, True),)),
    ("/x/{a=y/**/b}/c", ("x", "y", REST, "b", "c"), "", (Variable("a", 1, -1, True),)),
    (
        "/{a}/{b=**}/{c}/{d=e/*}:v",
        (ONE, REST, ONE, "e", ONE),
        "v",
        (
            Variable("a", 0, 1, False),
            Variable("b", 1, -3, True),
            Variable("c", -3, -2, False),
            Variable("d", -2, None, True),
        ),
    ),
    ("/v1/%C3%A9", ("v1", "\u00e9"), "", ()),
]

INVALID = [
    "",
    "v1",
    "//a",
    "/a/",
    "/a//b",
    "/a b",
    "/a?b",
    "/a#b",
    "/\u00e9",
    "/%zz",
    "/%ff",
    "/{",
    "/{}",
    "/{a",
    "/{a=}",
    "/{a=*",
    "/{1a}",
    "/{a.}",
    "/{a..b}",
    "/{a-b}",
    "/{a={b}}",
    "/{a=x/{b}}",
    "/{a}b",
    "/a{b}",
    "/***",
    "/a*",
    "/**/**",
    "/{a=**}/b/**",
    "/{a=**/**}",
    "/:a",
    "/a::b",
    "/a:b:",
    "/a:",
    "/a:b/c",
    "/a:*",
    "/{a}/{a}",
    "/{a}/{a=x/*}",
    "/a:{b}",
]


@pytest.mark.parametrize(("text", "segments", "verb", "variables"), VALID)
def test_a_template_of_the_grammar_is_read(
    text: str, segments: tuple[object, ...], verb: str, variables: tuple[Variable, ...]
) -> None:
    template = parse(text)
    assert (template.segments, template.verb, template.variables) == (segments, verb, variables)


@pytest.mark.parametrize("text", INVALID)
def test_any_other_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


@given(st.text(alphabet="/*{}=.:ab%2F", max_size=30))
def test_reading_a_template_gives_a_template_or_an_error(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        return
    assert template.segments


def router(*templates: str) -> Router[str]:
    made: Router[str] = Router()
    for each in templates:
        method, _, path = each.rpartition(" ")
        made.add(method or "GET", parse(path), each)
    return made


SPECIFIC = [
    (["/v1/{a}", "/v1/b"], "/v1/b", "/v1/b"),
    (["/v1/b", "/v1/{a}"], "/v1/c", "/v1/{a}"),
    (["/{a=**}", "/v1/{a}", "/v1/{a=**}"], "/v1/c", "/v1/{a}"),
    (["/{a=**}", "/v1/{a}", "/v1/{b=**}"], "/v1/c/d", "/v1/{b=**}"),
    (["/{a=**}", "/v1/{a}"], "/v1/c/d", "/{a=**}"),
    # Backtracking: the literal leads nowhere.
    (["/v1/b/c", "/v1/{a}/d"], "/v1/b/d", "/v1/{a}/d"),
    (["/v1/b/c/e", "/v1/{a}/c/{d}", "/{x=**}"], "/v1/b/c/d", "/v1/{a}/c/{d}"),
    (["/v1/b/c/e", "/v1/{a}/d", "/{x=**}"], "/v1/b/c/d", "/{x=**}"),
    (["/v1/{a}/b/c", "/v1/{a=**}"], "/v1/x/b/d", "/v1/{a=**}"),
    # The first segment that differs decides.
    (["/{a}/b", "/v1/{c}"], "/v1/b", "/v1/{c}"),
    (["/{a}:x", "/{a}"], "/q:x", "/{a}:x"),
    (["/{a}:x", "/{a}"], "/q:y", "/{a}"),
    (["/{a=**}:x", "/v1/{a}"], "/v1/q:x", "/{a=**}:x"),
    (["POST /{a}", "/{a=**}"], "/q", "/{a=**}"),
    (["/", "/{a=**}"], "/", "/"),
    (["/", "/{a}"], "/q", "/{a}"),
    # Behind `**` more segments win, and a literal over `*`.
    (["/{a=**}", "/{a=**}/b"], "/x/y/b", "/{a=**}/b"),
    (["/{a=**}", "/{a=**}/b"], "/b", "/{a=**}/b"),
    (["/{a=**}", "/{a=**}/b"], "/x/y/c", "/{a=**}"),
    (["/{a=**}/{c}", "/{a=**}/b"], "/x/b", "/{a=**}/b"),
    (["/{a=**}/{c}", "/{a=**}/b"], "/x/c", "/{a=**}/{c}"),
    (["/{a=**}/c/b", "/{a=**}/b"], "/x/c/b", "/{a=**}/c/b"),
    (["/{a=**}/c/b", "/{a=**}/b"], "/x/d/b", "/{a=**}/b"),
    (["/x/{a=**}/b", "/{a=**}/c/b"], "/x/c/b", "/x/{a=**}/b"),
    (["/{a=**}/b", "/{a=**}/b:v"], "/x/b:v", "/{a=**}/b:v"),
    # The longest verb that a rule has on the path.
    (["/{a}:x", "/{a}:y:x", "/{a}"], "/q:y:x", "/{a}:y:x"),
    (["/{a}:x", "/{a}:y:x", "/{a}"], "/q:z:x", "/{a}:x"),
    (["/{a}:x", "/b/{a}:y:x", "/{a}"], "/q:y:x", "/{a}:x"),
    (["/{a}:y:x", "/{a}"], "/q:x", "/{a}"),
]


@pytest.mark.parametrize(("templates", "path", "expected"), SPECIFIC)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_most_specific_route_wins_in_any_order(
    templates: list[str], path: str, expected: str, is_reversed: bool
) -> None:
    found = router(*(reversed(templates) if is_reversed else templates)).find("GET", path)
    assert isinstance(found, Match)
    assert found.target == expected


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("/{a=**}/b", "/b", {"a": ""}),
        ("/{a=**}/b", "/x/b", {"a": "x"}),
        ("/{a=**}/b", "/x/y%2Fz/b", {"a": "x/y%2Fz"}),
        ("/{a=**}/b", "/b/b", {"a": "b"}),
        ("/{a=**}/b", "//b", {"a": ""}),
        ("/{a=**/b}", "/x/b", {"a": "x/b"}),
        ("/{a}/**/{b}", "/x/y/z/w", {"a": "x", "b": "w"}),
        ("/{a}/**/{b}", "/x/w", {"a": "x", "b": "w"}),
        ("/{a}/{c=**}/{b=e/*}:v", "/x/1/2/e/w:v", {"a": "x", "c": "1/2", "b": "e/w"}),
        ("/{a}:one:two", "/q:one:two", {"a": "q"}),
        ("/{a}:one:two", "/p:q:one:two", {"a": "p:q"}),
        ("/", "/", {}),
    ],
)
def test_the_values_of_a_path(template: str, path: str, values: dict[str, str]) -> None:
    found = router(template).find("GET", path)
    assert isinstance(found, Match)
    assert found.values == values


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/{a=**}/{b}", "/"),
        ("/{a}/**/{b}", "/x"),
        ("/{a=**}/b", "/x/b/"),
        ("/{a}:one:two", "/q:two"),
        ("/{a}:one:two", "/:one:two"),
        ("/", "//"),
    ],
)
def test_a_path_that_does_not_fit(template: str, path: str) -> None:
    found = router(template).find("GET", path)
    assert found is None


SEGMENT = st.sampled_from(["a", "b", "*", "*", "**"])
SHAPES = st.lists(SEGMENT, min_size=1, max_size=4).filter(lambda each: each.count("**") < 2)


@given(st.lists(SHAPES, max_size=6), st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=5))
def test_a_route_is_found_exactly_if_its_pattern_matches(
    shapes: list[list[str]], segments: list[str]
) -> None:
    parts = {"*": "/[^/]+", "**": "(?:/[^/]*)*"}
    templates = dict.fromkeys("/" + "/".join(shape) for shape in shapes)
    path = "/" + "/".join(segments)
    matching = {
        template
        for template in templates
        if re.fullmatch(
            "".join(parts.get(each, "/" + each) for each in template[1:].split("/")), path
        )
    }
    found = router(*templates).find("GET", path)
    if matching:
        assert isinstance(found, Match)
        assert found.target in matching
    else:
        assert found is None


def test_two_routes_for_one_method_and_path_are_refused() -> None:
    made = router("/v1/{a}")
    for path in ("/v1/{b}", "/v1/*", "/v1/{c=*}"):
        with pytest.raises(DuplicateRouteError):
            made.add("GET", parse(path), "again")
    made.add("POST", parse("/v1/{a}"), "another method")
    made.add("GET", parse("/v1/{a}:verb"), "another verb")
    made.add("*", parse("/v1/{a}"), "any other method")


def test_a_method_of_its_own_wins_over_any_method() -> None:
    made = router("* /v1/{a}", "GET /v1/{a}")
    for method, target in (("GET", "GET /v1/{a}"), ("HEAD", "GET /v1/{a}"), ("PUT", "* /v1/{a}")):
        found = made.find(method, "/v1/x")
        assert isinstance(found, Match)
        assert found.target == target


def test_other_methods_of_a_path_are_told() -> None:
    found = router("POST /v1/{a}", "/v1/b", "DELETE /v1/{a=**}").find("PATCH", "/v1/b")
    assert found == OtherMethods(frozenset({"GET", "POST", "DELETE"}))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The segments that routers look up in the nodes of their routes, each time anew."""
    found: list[object] = []
    node = routes._Node

    class Literals(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            found.append(key)
            return super().get(key, default)

    monkeypatch.setattr(routes, "_Node", lambda: node(literals=Literals()))
    return found


def nodes_of(node: Any) -> int:
    """Count a node and those below it."""
    below = [*node.literals.values(), *filter(None, (node.any, node.rest))]
    return 1 + sum(map(nodes_of, below))


@pytest.mark.parametrize(
    "path",
    [
        "/" * 64_000,
        "/v1" + "/a" * 32_000,
        "/" + "a" * 64_000,
        "/v1/" + "%2F" * 21_000,
        "/v1/" + "x:" * 30_000,
    ],
)
def test_a_long_path_costs_no_more_look_ups_than_the_routes_have_nodes(
    path: str, looks: list[object]
) -> None:
    made = router(
        *(f"/v1/{'/'.join([f'{{a{i}}}' for i in range(n)])}/x" for n in range(1, 30)),
        *(f"/v1{'/*' * n}/**/x{'/*' * n}/y" for n in range(30)),
        "/v1/{a}:x:y:z",
    )
    assert made.find("GET", path) is None
    # The longest verb has three colons, so a path is split in four ways at most.
    assert 0 < len(looks) <= 4 * nodes_of(made._root)


def test_backtracking_is_bounded_by_the_routes(looks: list[object]) -> None:
    # No prefix of stars and letters leads to a route but the last: 2^10 routes, one look-up.
    shapes = [[("a", "*")[i >> bit & 1] for bit in range(10)] for i in range(1024)]
    made = router(*(f"/{'/'.join(shape)}/end{i}" for i, shape in enumerate(shapes)))
    assert made.find("GET", "/" + "a/" * 10 + "nowhere") is None
    assert 1024 < len(looks) <= nodes_of(made._root)


@given(st.text(alphabet="/abv1:%2Fx\u00e9", max_size=60))
def test_any_path_is_found_or_not_or_bad(path: str) -> None:
    made = router("/v1/{a}", "/v1/{a=b/*}/x", "/v1/{a=**}:x", "POST /{b=**}", "/v1/{a=**}/b/*:x:x")
    try:
        made.find("GET", path)
    except BadPathError:
        assert "%" in path

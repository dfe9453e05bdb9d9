"""From an HTTP request to a message: path, query and body brought together.

They become one JSON value, in which the path wins and nothing overrides anything; the
codec turns it into the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from protobuf import DescMessage, Message, Registry, message_from_json_value

from services.gateway.binding import fieldmask, strictjson
from services.gateway.binding.descriptors import WHOLE, Binding
from services.gateway.binding.problems import BadRequest, Problems
from services.gateway.binding.scalars import FromText
from services.gateway.binding.shapes import Member, Shape, Shapes

PARAMETERS_MAX: Final = 1000
SPACE: Final = b" \t\r\n"
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that a path or query names, with the fields that lead to it."""

    members: tuple[Member, ...]
    path: str
    from_text: FromText

    @property
    def repeated(self) -> bool:
        """Whether it takes several values."""
        return self.members[-1].repeated


class RequestBinder:
    """Builds the messages of one binding of one RPC.

    Args:
        message: The request's type.
        binding: Says what of it is in the path and what in the body.
        shapes: The JSON forms of messages.
    """

    def __init__(self, message: DescMessage, binding: Binding, shapes: Shapes) -> None:
        """See the class.

        Raises:
            ValueError: A variable of the path has no form as text.
        """
        self._type = message.type
        self._registry: Registry = shapes.registry
        self._shape = shapes.of(message)
        self._body = binding.body
        self._body_member = self._shape.exact_members.get(binding.body)
        self._path = {
            variable.field_path: _leaf(self._shape, variable.field_path)
            for variable in binding.template.variables
        }
        self._in_path = {leaf.path for leaf in self._path.values()}
        self._mask = fieldmask.inference(self._shape, binding)

    @property
    def takes_body(self) -> bool:
        """Whether a part of the request is in the body."""
        return bool(self._body)

    def message(self, path: Mapping[str, str], query: bytes, body: bytes) -> Message:
        """Build the request.

        Raises:
            BadRequest: Something in it is wrong; every wrong field is named.
        """
        problems = Problems()
        tree = self._read_body(body, problems)
        present = self._mask.paths(tree, self._in_path) if self._mask else ()
        if query:
            self._read_query(query, tree, problems)
        for name, text in path.items():
            self._bind_path(self._path[name], text, tree, problems)
        problems.raise_any()
        message = self._decode(tree)
        if self._mask is not None and present:
            self._mask.set_unless_given(message, present)
        return message

    def _read_body(self, body: bytes, problems: Problems) -> dict[str, Any]:
        if not self._body:
            _refuse_content(body)
            return {}
        member = self._body_member
        if not body.strip(SPACE):
            return {member.json_name: {}} if member and member.shape else {}
        try:
            value = strictjson.read(body)
        except strictjson.JsonError as error:
            raise BadRequest([(error.member or "body", str(error))]) from None
        if member is None:
            return self._shape.read(value, "", problems)
        if value is None and not member.kind.takes_null:
            return {}
        return {member.json_name: member.read(value, member.json_name, problems)}

    def _read_query(self, query: bytes, tree: dict[str, Any], problems: Problems) -> None:
        for name, text in _parameters(query):
            try:
                leaf = self._query_leaf(name)
                value = leaf.from_text(text)
            except ValueError as error:
                problems.add(name, str(error))
            else:
                _put(tree, leaf, value, problems)

    def _query_leaf(self, name: str) -> Leaf:
        if self._body == WHOLE:
            raise ValueError("is no query parameter: the whole request is in the body")
        leaf = _leaf(self._shape, name)
        if leaf.path in self._in_path:
            raise ValueError("is in the path already")
        if leaf.members[0] is self._body_member:
            raise ValueError("is no query parameter: it is in the body")
        return leaf

    def _bind_path(self, leaf: Leaf, text: str, tree: dict[str, Any], problems: Problems) -> None:
        try:
            value = leaf.from_text(text)
        except ValueError as error:
            problems.add(leaf.path, str(error))
            return
        holder = _holder(tree, leaf, problems)
        name = leaf.members[-1].json_name
        if holder.get(name, value) not in (value, None):
            problems.add(leaf.path, "has another value in the path")
            return
        holder.pop(name, None)
        leaf.members[-1].refuse_rivals(holder, leaf.path, problems)
        holder[name] = value

    def _decode(self, tree: dict[str, Any]) -> Message:
        try:
            return message_from_json_value(self._type, tree, registry=self._registry)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise BadRequest([("body", "does not fit the request")]) from None


def _leaf(shape: Shape, name: str) -> Leaf:
    """Follow a dotted name of proto names or JSON names.

    Raises:
        ValueError: There is no such field, or it has no form as text.
    """
    members: list[Member] = []
    here: Shape | None = shape
    for step in name.split("."):
        member = here.exact_members.get(step) if here is not None else None
        if member is None:
            raise ValueError("is not a field")
        members.append(member)
        here = member.shape
    last = members[-1]
    if last.kind.from_text is None or last.map:
        raise ValueError("is no single value: it belongs in a body")
    path = ".".join(member.json_name for member in members)
    return Leaf(tuple(members), path, last.kind.from_text)


def _put(tree: dict[str, Any], leaf: Leaf, value: Any, problems: Problems) -> None:
    holder = _holder(tree, leaf, problems)
    name = leaf.members[-1].json_name
    if leaf.repeated:
        holder.setdefault(name, []).append(value)
    elif name in holder:
        problems.add(leaf.path, "is given twice")
    else:
        leaf.members[-1].refuse_rivals(holder, leaf.path, problems)
        holder[name] = value


def _holder(tree: dict[str, Any], leaf: Leaf, problems: Problems) -> dict[str, Any]:
    """Return the object that a field is in; it is made if it is not there."""
    for member in leaf.members[:-1]:
        inner = tree.get(member.json_name)
        if inner is None:
            member.refuse_rivals(tree, leaf.path, problems)
            inner = tree[member.json_name] = {}
        tree = inner
    return tree


def _refuse_content(body: bytes) -> None:
    if body.strip(SPACE) not in (b"", b"{}"):
        raise BadRequest([("body", "has to be empty: this method takes none")])


def _parameters(query: bytes) -> Sequence[tuple[str, str]]:
    """Split a query string; `+` is a space.

    Raises:
        BadRequest: An escape is malformed or no UTF-8.
    """
    if query.count(b"&") >= PARAMETERS_MAX:
        raise BadRequest([("query", f"has more than {PARAMETERS_MAX} parameters")])
    if _BAD_ESCAPE.search(query):
        raise BadRequest([("query", "has a percent sign without two hexadecimal digits")])
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    try:
        return [(_decoded(name), _decoded(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        raise BadRequest([("query", "has an escape that is not UTF-8")]) from None


def _decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode()

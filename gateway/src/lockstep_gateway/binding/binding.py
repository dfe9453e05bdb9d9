"""From an HTTP request to a message: path, query and body brought together.

They become one JSON value, in which no part overrides another. The codec decodes the message
from that value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from lockstep_gateway.binding import fieldmask, strictjson
from lockstep_gateway.binding.descriptors import HTTP_BODY, WHOLE, Binding, body_message
from lockstep_gateway.binding.protojson import Field, MessageForm, MessageForms
from lockstep_gateway.binding.scalars import FromText, from_path
from lockstep_gateway.binding.system import ENUM_NUMBERS, asks_for_numbers
from lockstep_gateway.binding.violations import BadRequest, BindingViolations
from protobuf import DescMessage, Message, Registry, message_from_json_value

PARAMETERS_MAX: Final = 1000
SPACE: Final = b" \t\r\n"
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that a path or a query names, with the fields that lead to it."""

    fields: tuple[Field, ...]
    path: str
    from_text: FromText

    @property
    def repeated(self) -> bool:
        """Whether the field takes several values."""
        return self.fields[-1].repeated


class RequestBinder:
    """Build the messages of one binding of one RPC.

    Args:
        message: The request's type.
        binding: The parts of the request that are in the path and in the body.
        forms: The JSON forms of messages.

    Raises:
        ValueError: A variable of the path has no text form.
    """

    def __init__(self, message: DescMessage, binding: Binding, forms: MessageForms) -> None:
        self._type = message.type
        self._registry: Registry = forms.registry
        self._form = forms.of(message)
        self._body = binding.body
        self._body_field = self._form.exact_fields.get(binding.body)
        self._system = forms.system_parameters
        self._path = {
            variable.field_path: _path_leaf(self._form, variable.field_path)
            for variable in binding.template.variables
        }
        self._in_path = {leaf.path for leaf in self._path.values()}
        part = body_message(message, binding)
        self.takes_raw: Final = part is not None and part.type_name == HTTP_BODY
        """Whether the body is the bytes of a google.api.HttpBody, of any type."""
        self._mask = None if self.takes_raw else fieldmask.inference(self._form, binding)

    def wants_enum_numbers(self, query: bytes) -> bool:
        """Tell whether the client asks for the numbers of enums, and not for their names."""
        if ENUM_NUMBERS.partition("=")[0].encode() not in query:
            return False
        return any(
            asks_for_numbers(name, value)
            for name, value in _parameters(query)
            if self._is_system(name)
        )

    def message(
        self, path: Mapping[str, str], query: bytes, body: bytes, content_type: str = ""
    ) -> Message:
        """Build the request.

        Args:
            path: The values of the path's variables.
            query: The query string.
            body: The body.
            content_type: The media type of the body, for a request that keeps it.

        Raises:
            BadRequest: A field is wrong. The error names every wrong field.
        """
        v = BindingViolations()
        tree = self._read_body(body, content_type, v)
        present = self._mask.paths(tree, self._in_path) if self._mask else ()
        if query:
            self._read_query(query, tree, v)
        for name, text in path.items():
            self._bind_path(self._path[name], text, tree, v)
        v.raise_any()
        message = self._decode(tree)
        if self._mask is not None and present:
            self._mask.set_unless_given(message, present)
        return message

    def _read_body(self, body: bytes, content_type: str, v: BindingViolations) -> dict[str, Any]:
        if not self._body:
            _refuse_content(body)
            return {}
        field = self._body_field
        if self.takes_raw:
            value: Any = _raw(body, content_type)
        elif not body.strip(SPACE):
            return {field.name: {}} if field and field.form else {}
        else:
            value = _json(body)
        if field is None:
            return self._form.read(value, "", v)
        if value is None and not field.reader.takes_null:
            return {}
        return {field.name: field.read(value, field.json_name, v)}

    def _read_query(self, query: bytes, tree: dict[str, Any], v: BindingViolations) -> None:
        for name, text in _parameters(query):
            if self._is_system(name):
                continue
            try:
                leaf = self._query_leaf(name)
                value = leaf.from_text(text)
            except ValueError as error:
                v.add(name, str(error))
            else:
                _put(tree, leaf, value, v)

    def _is_system(self, name: str) -> bool:
        return name in self._system and name not in self._form.exact_fields

    def _query_leaf(self, name: str) -> Leaf:
        if self._body == WHOLE:
            raise ValueError("must not be a query parameter: the whole request is in the body")
        leaf = _leaf(self._form, name)
        if leaf.path in self._in_path:
            raise ValueError("must not be a query parameter: it is in the path")
        if leaf.fields[0] is self._body_field:
            raise ValueError("must not be a query parameter: it is in the body")
        return leaf

    def _bind_path(self, leaf: Leaf, text: str, tree: dict[str, Any], v: BindingViolations) -> None:
        try:
            value = leaf.from_text(text)
        except ValueError as error:
            v.add(leaf.path, str(error))
            return
        holder = _holder(tree, leaf, v)
        name = leaf.fields[-1].name
        if holder.get(name, value) not in (value, None):
            v.add(leaf.path, "must have the value that the path has")
            return
        holder.pop(name, None)
        leaf.fields[-1].refuse_siblings(holder, leaf.path, v)
        holder[name] = value

    def _decode(self, tree: dict[str, Any]) -> Message:
        try:
            return message_from_json_value(self._type, tree, registry=self._registry)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise BadRequest([("body", "cannot be decoded as the request")]) from None


def _leaf(form: MessageForm, name: str) -> Leaf:
    """Follow a dotted name of proto names or JSON names.

    Raises:
        ValueError: There is no such field, or it has no text form.
    """
    fields: list[Field] = []
    here: MessageForm | None = form
    for step in name.split("."):
        key, bracket, _ = step.partition("[")
        field = here.exact_fields.get(key) if here is not None else None
        is_map = field.map and bool(bracket) if field else bool(fields) and fields[-1].map
        if is_map:
            raise ValueError("is a part of a map, which must be in a body")
        if field is None or bracket:
            raise ValueError("is not a field")
        fields.append(field)
        here = field.form
    last = fields[-1]
    if last.reader.from_text is None or last.map:
        raise ValueError("is not a single value: send it in a body")
    path = ".".join(field.json_name for field in fields)
    return Leaf(tuple(fields), path, last.reader.from_text)


def _path_leaf(form: MessageForm, name: str) -> Leaf:
    leaf = _leaf(form, name)
    return replace(leaf, from_text=from_path(leaf.from_text))


def _put(tree: dict[str, Any], leaf: Leaf, value: Any, v: BindingViolations) -> None:
    holder = _holder(tree, leaf, v)
    name = leaf.fields[-1].name
    if leaf.repeated:
        holder.setdefault(name, []).append(value)
    elif name in holder:
        v.add(leaf.path, "is given twice")
    else:
        leaf.fields[-1].refuse_siblings(holder, leaf.path, v)
        holder[name] = value


def _holder(tree: dict[str, Any], leaf: Leaf, v: BindingViolations) -> dict[str, Any]:
    """Return the object that holds a field; make it if it is absent."""
    for field in leaf.fields[:-1]:
        inner = tree.get(field.name)
        if inner is None:
            field.refuse_siblings(tree, leaf.path, v)
            inner = tree[field.name] = {}
        tree = inner
    return tree


def _json(body: bytes) -> Any:
    try:
        return strictjson.read(body)
    except strictjson.JsonError as error:
        raise BadRequest([(error.member or "body", str(error))]) from None


def _raw(body: bytes, content_type: str) -> dict[str, str]:
    """Return a google.api.HttpBody in its JSON form, so that it is brought together as all."""
    value = {"data": base64.b64encode(body).decode()} if body else {}
    return {**value, "contentType": content_type} if content_type else value


def _refuse_content(body: bytes) -> None:
    if body.strip(SPACE) not in (b"", b"{}"):
        raise BadRequest([("body", "must be empty: this method takes no body")])


def _parameters(query: bytes) -> Sequence[tuple[str, str]]:
    """Split a query string; `+` is a space.

    Raises:
        BadRequest: An escape is malformed or not UTF-8, or there are too many parameters.
    """
    if query.count(b"&") >= PARAMETERS_MAX:
        raise BadRequest([("query", f"must have at most {PARAMETERS_MAX} parameters")])
    if _BAD_ESCAPE.search(query):
        raise BadRequest([("query", "must have two hexadecimal digits after each percent sign")])
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    try:
        return [(_decoded(name), _decoded(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        raise BadRequest([("query", "must be UTF-8 when its escapes are decoded")]) from None


def _decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode()

"""The paths of the document. In OpenAPI every wildcard of a template is a parameter.

Code generators make identifiers of the names of parameters, and some match them in paths by a
pattern. So a name has letters, digits and underscores alone, and belongs to one thing only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lockstep_gateway.binding.descriptors import Binding, field_at
from lockstep_gateway.binding.template import Wildcard
from lockstep_gateway.openapi.names import camel
from protobuf import DescField, DescMessage

SEGMENT = "segment"
"""The name of a wildcard outside of variables."""


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A wildcard of a template.

    Attributes:
        steps: The field that takes it, and the fields that lead there; none outside of variables.
        holds_slashes: Whether it takes any number of segments.
    """

    steps: tuple[DescField, ...]
    holds_slashes: bool

    @property
    def name(self) -> str:
        """The name that the parameter would have alone."""
        return camel(each.json_name for each in self.steps) or SEGMENT


def parameters(message: DescMessage, binding: Binding) -> Iterator[PathParameter]:
    """Yield the parameters of a binding's path."""
    for index, segment in enumerate(binding.template.segments):
        if isinstance(segment, Wildcard):
            variable = binding.template.variable_at(index)
            steps = field_at(message, variable.field_path) if variable else ()
            yield PathParameter(tuple(steps), segment.rest)


def shape(binding: Binding) -> str:
    """Write a path without names. Paths of one shape are one path in OpenAPI."""
    return _written(binding, iter(lambda: "*", ""))


def named(binding: Binding, names: Iterable[str]) -> str:
    """Write a path in the form of OpenAPI."""
    return _written(binding, (f"{{{name}}}" for name in names))


def choose_names(
    candidates: Iterable[Sequence[PathParameter]], taken: Collection[str]
) -> list[str]:
    """Choose the names of a path's parameters.

    Args:
        candidates: The parameters of each binding with this path. Those with the fewest steps
            win, and then the first: `name` rather than `bookName`.
        taken: The names of other parameters.
    """
    chosen = min(candidates, key=lambda each: sum(len(parameter.steps) for parameter in each))
    names: list[str] = []
    for wanted in (parameter.name for parameter in chosen):
        name, count = wanted, 1
        while name in taken or name in names:
            count += 1
            name = f"{wanted}{count}"
        names.append(name)
    return names


def _written(binding: Binding, wildcards: Iterator[str]) -> str:
    segments = [
        next(wildcards) if isinstance(each, Wildcard) else each
        for each in binding.template.segments
    ]
    verb = f":{binding.template.verb}" if binding.template.verb else ""
    return f"/{'/'.join(segments)}{verb}"

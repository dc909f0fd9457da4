"""JSON:API documents, with names in snake_case. A Dialect."""

from copy import copy
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, create_model
from pydantic.alias_generators import to_pascal

from dispatcher.api.representations.serialize import document, snake
from dispatcher.api.types import Detail, HandlerResult, HttpError, Shape
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.services.inputs.base import Form

media_type = "application/vnd.api+json"
schema_prefix = "JsonApi"


def field_name(name: str) -> str:
    return snake(name)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


def read(form: type[Form], shape: Shape, body: bytes, id_: str | None) -> Form:
    """Return the form in a body. Read an empty body as an empty form if that is valid.

    Raise an HttpError (409) if the id in the document is not `id_`, and ValidationError if the body
    is not valid.
    """
    if not body and form.may_be_empty():
        return _in_snake(form).model_validate({})
    whole = model(form, shape, has_id=id_ is not None)
    read_: Any = whole.model_validate_json(body or b"{}", by_alias=True, by_name=False)
    if id_ is not None and read_.data.id not in (None, id_):
        raise HttpError(
            409,
            "conflict",
            "The id in the document is not that of the address",
            Detail("is another one than in the address", pointer="/data/id"),
        )
    attributes: Form = read_.data.attributes
    return attributes


def pointer(place: tuple[str | int, ...]) -> str:
    return "/data/attributes" + "".join(f"/{part}" for part in place)


def item(resource: object, shape: Shape, *, secrets: bool) -> Any:
    if isinstance(resource, orjson.Fragment):
        return resource
    return _resource(resource, shape, secrets=secrets)


def write(result: HandlerResult[object], shape: Shape, *, link: str | None, secrets: bool) -> bytes:
    whole: dict[str, Any] = {"data": None}
    if isinstance(result.body, tuple):
        whole["data"] = [item(resource, shape, secrets=secrets) for resource in result.body]
        if result.is_page:
            whole["links"] = {"next": link}
            whole["meta"] = {"next_cursor": result.next}
    elif result.body is not None:
        whole["data"] = _resource(result.body, shape, secrets=secrets)
    return orjson.dumps(whole)


def write_error(failure: HttpError, request_id: str) -> bytes:
    errors = [
        {
            "id": request_id,
            "status": str(failure.status),
            "code": failure.code,
            "title": failure.title,
            "detail": detail.text,
            **_source(detail),
        }
        for detail in failure.details
    ]
    return orjson.dumps({"errors": errors})


@cache
def model(form: type[Form], shape: Shape, *, has_id: bool) -> type[BaseModel]:
    """Return a model of `{"data": {"type": …, "id": …, "attributes": form}}`."""
    attributes = _in_snake(form)
    fields: dict[str, Any] = {
        "type": (Literal[shape.type], ...),
        "attributes": (attributes, attributes.model_validate({}) if form.may_be_empty() else ...),
    }
    if has_id:
        fields["id"] = (str | None, None)
    noun, name = to_pascal(shape.type), form.__name__
    name = name if noun in name else f"{noun}{name}"  # several nouns may use one form
    resource = create_model(f"{name}Resource", __base__=_Part, **fields)
    return create_model(f"{name}Document", __base__=_Part, data=(resource, ...))


@cache
def _in_snake(form: type[Form]) -> type[Form]:
    """Return the form with its field names as aliases, in snake_case, also in forms within it."""
    fields: dict[str, Any] = {}
    for name, field in form.model_fields.items():
        named = copy(field)
        named.alias = named.validation_alias = named.serialization_alias = name.rstrip("_")
        named.alias_priority = 2
        named.annotation = _annotation_in_snake(field.annotation)
        fields[name] = (named.annotation, named)
    return create_model(form.__name__, __base__=form, __module__=form.__module__, **fields)


def _annotation_in_snake(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Form):
        return _in_snake(annotation)
    if get_origin(annotation) in (UnionType, Union):
        return Union[tuple(map(_annotation_in_snake, get_args(annotation)))]  # noqa: UP007
    return annotation


def _resource(resource: object, shape: Shape, *, secrets: bool) -> dict[str, Any]:
    attributes = document(resource, snake, secrets=secrets)
    id_ = attributes.pop(shape.id)
    return {
        "type": shape.type,
        "id": ALL_ENVIRONMENTS if id_ is None else str(id_),
        "attributes": attributes,
    }


def _source(detail: Detail) -> dict[str, Any]:
    places = {"pointer": detail.pointer, "parameter": detail.parameter, "header": detail.header}
    source = {name: place for name, place in places.items() if place is not None}
    return {"source": source} if source else {}

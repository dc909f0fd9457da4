"""The envelope: `{"success": true, "data": …}` with names in camelCase. A Dialect."""

from typing import Any

import orjson
from pydantic import BaseModel

from dispatcher.api.representations.serialize import camel, document
from dispatcher.api.types import Detail, HandlerResult, HttpError, Shape
from dispatcher.services.inputs.base import Form

media_type = "application/json"
schema_prefix = ""


def field_name(name: str) -> str:
    return camel(name)


def read(form: type[Form], shape: Shape, body: bytes, id_: str | None) -> Form:
    return form.model_validate_json(body or b"{}", by_alias=True, by_name=False)


def pointer(place: tuple[str | int, ...]) -> str:
    return "".join(f"/{camel(part) if isinstance(part, str) else part}" for part in place)


def item(resource: object, shape: Shape, *, secrets: bool) -> Any:
    if isinstance(resource, orjson.Fragment):
        return resource
    return document(resource, camel, secrets=secrets)


def write(result: HandlerResult[object], shape: Shape, *, link: str | None, secrets: bool) -> bytes:
    data: Any = None
    if isinstance(result.body, tuple):
        data = [item(resource, shape, secrets=secrets) for resource in result.body]
        if result.is_page:
            data = {"items": data, "nextCursor": result.next}
    elif result.body is not None:
        data = document(result.body, camel, secrets=secrets)
    return orjson.dumps({"success": True, "data": data})


def write_error(failure: HttpError, request_id: str) -> bytes:
    error = {
        "code": failure.code,
        "message": "; ".join(_sentence(detail) for detail in failure.details),
        "details": [_detail(detail) for detail in failure.details],
        "requestId": request_id,
    }
    return orjson.dumps({"success": False, "error": error})


def model(form: type[Form], shape: Shape, *, has_id: bool) -> type[BaseModel]:
    return form


def _sentence(detail: Detail) -> str:
    place = detail.pointer or detail.parameter or detail.header
    return f"{place}: {detail.text}" if place else detail.text


def _detail(detail: Detail) -> dict[str, str]:
    places = {
        "pointer": detail.pointer,
        "parameter": detail.parameter,
        "header": detail.header,
    }
    return {"message": detail.text, **{n: v for n, v in places.items() if v is not None}}

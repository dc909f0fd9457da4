"""The two representations of a resource, and the choice between them."""

from typing import Any, Protocol

from pydantic import BaseModel

from dispatcher.api.types import HandlerResult, HttpError, Shape
from dispatcher.services.inputs.base import Form


class Dialect(Protocol):
    """The reading of requests and the writing of responses in one representation."""

    media_type: str
    schema_prefix: str
    """The prefix of the names of its schemas in the OpenAPI document."""

    def field_name(self, name: str) -> str:
        """Return the name of a field of a resource, which is given by its Python name."""
        ...

    def read(self, form: type[Form], shape: Shape, body: bytes, id_: str | None) -> Form:
        """Return the form in a body. Raise ValidationError with locations as in the body."""
        ...

    def pointer(self, place: tuple[str | int, ...]) -> str:
        """Return the JSON pointer to a field of a form, which is given by its Python names."""
        ...

    def item(self, resource: object, shape: Shape, *, secrets: bool) -> Any:
        """Return a resource as it stands in a response. A JSON fragment is returned as it is."""
        ...

    def write(
        self, result: HandlerResult[object], shape: Shape, *, link: str | None, secrets: bool
    ) -> bytes:
        """Return the body of a response. `link` is the path of the next page, or None."""
        ...

    def write_error(self, failure: HttpError, request_id: str) -> bytes:
        """Return the body of an error response."""
        ...

    def model(self, form: type[Form], shape: Shape, *, has_id: bool) -> type[BaseModel]:
        """Return a model of the whole body, for the OpenAPI document."""
        ...

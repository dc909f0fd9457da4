"""The two representations of a resource, and the choice between them."""

from typing import Any, Protocol

from pydantic import BaseModel

from dispatcher.api.types import Answer, Failure, Shape
from dispatcher.services.inputs.base import Form


class Dialect(Protocol):
    """The reading of requests and the writing of responses in one representation."""

    media_type: str

    def read(self, form: type[Form], shape: Shape, body: bytes, id_: str | None) -> Form:
        """Return the form in a body. Raise ValidationError with locations as in the body."""
        ...

    def pointer(self, place: tuple[str | int, ...]) -> str:
        """Return the JSON pointer to a field of a form, which is given by its Python names."""
        ...

    def item(self, resource: object, shape: Shape, *, secrets: bool) -> Any:
        """Return a resource as it stands in a response. A JSON fragment is returned as it is."""
        ...

    def write(self, answer: Answer, shape: Shape, *, link: str | None, secrets: bool) -> bytes:
        """Return the body of a response. `link` is the path of the next page, or None."""
        ...

    def refuse(self, failure: Failure, request_id: str) -> bytes:
        """Return the body of an error response."""
        ...

    def model(self, form: type[Form], shape: Shape, *, has_id: bool) -> type[BaseModel]:
        """Return a model of the whole body, for the OpenAPI document."""
        ...

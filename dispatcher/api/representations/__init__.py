"""The two representations of the same resources, and which one a request wants."""

from typing import Any, Protocol

from pydantic import BaseModel

from dispatcher.api.types import Answer, Failure, Shape
from dispatcher.services.inputs.base import Form


class Dialect(Protocol):
    """How requests are read and answers written."""

    media_type: str

    def read(self, form: type[Form], shape: Shape, body: bytes, id_: str | None) -> Form:
        """Raises pydantic's ValidationError, with places as they are in the body."""
        ...

    def pointer(self, place: tuple[str | int, ...]) -> str:
        """The JSON pointer to a field of a form, by its Python name."""
        ...

    def item(self, resource: object, shape: Shape, *, secrets: bool) -> Any:
        """Return a resource as it stands in an answer; one that is JSON already stays so."""
        ...

    def write(self, answer: Answer, shape: Shape, *, link: str | None, secrets: bool) -> bytes: ...

    def refuse(self, failure: Failure, request_id: str) -> bytes: ...

    def model(self, form: type[Form], shape: Shape, *, has_id: bool) -> type[BaseModel]:
        """The whole body as one model, for the description."""
        ...

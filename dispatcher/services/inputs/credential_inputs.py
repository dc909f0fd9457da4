"""Define the inputs for the credentials of a webhook: authentication, and certificates for TLS."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from dispatcher.core.credentials import AuthMethod
from dispatcher.core.endpoint_url import split_userinfo
from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.text_patterns import ASCII, NO_CONTROLS, USERNAME

PEM_LIMIT_CHARACTERS = 65_536

_FIELDS = {
    "basic": ({"username", "password"}, frozenset[str]()),
    "oauth2": (
        {"token_url", "client_id", "client_secret"},
        frozenset({"scope", "audience", "auth_method"}),
    ),
}
"""The fields that each type of authentication needs, and those that it may have."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=ASCII)]
Username = Annotated[str, StringConstraints(max_length=1024, pattern=USERNAME)]
Password = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=NO_CONTROLS),
    Field(json_schema_extra={"format": "password"}),
]
ClientSecret = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4096, pattern=ASCII),
    Field(json_schema_extra={"format": "password"}),
]
TokenUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    Field(
        examples=["https://login.example.com/oauth2/token"],
        json_schema_extra={"format": "uri"},
    ),
]
Pem = Annotated[str, StringConstraints(min_length=1, max_length=PEM_LIMIT_CHARACTERS)]
PrivatePem = Annotated[Pem, Field(json_schema_extra={"format": "password"})]


class Authentication(Form):
    """Authenticate every request, by HTTP basic or with an access token of an OAuth 2 server.

    Secrets are stored encrypted and never shown again.
    """

    type: Literal["basic", "oauth2"]
    """`basic` needs `username` and `password`, `oauth2` a token URL, a client id and its secret."""
    username: Annotated[Username | None, Field(repr=False)] = None
    password: Annotated[Password | None, Field(repr=False)] = None
    token_url: TokenUrl | None = None
    """Where to fetch access tokens (grant `client_credentials`): a URL with a public host."""
    client_id: Text | None = None
    client_secret: Annotated[ClientSecret | None, Field(repr=False)] = None
    scope: Text | None = None
    audience: Text | None = None
    auth_method: AuthMethod | None = None
    """Where the client's secret goes: into a header, which is the default, or into the body."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        required, optional = _FIELDS[self.type]
        names = {name for name, value in self if value is not None} - {"type"}
        if missing := sorted(required - names):
            raise ValueError(f"{self.type} needs {_listed(missing)}")
        if surplus := sorted(names - required - optional):
            raise ValueError(f"{self.type} cannot have {_listed(surplus)}")
        return self

    def parts(self) -> dict[str, str]:
        """Return the fields that are set, to be encrypted."""
        return {name: value for name, value in self if value is not None}


def _listed(names: list[str]) -> str:
    """Return the names without underscores, which only one of the two dialects has."""
    return " and ".join(names).replace("_", " ")


class TlsSettings(Form):
    """Set the certificates for TLS to the webhook, as PEM texts of at most 64 KiB each."""

    certificate: Pem | None = None
    """The client certificate, and then those that lead to its root."""
    key: Annotated[PrivatePem | None, Field(repr=False)] = None
    """The private key of the client certificate, not encrypted. It is never shown again."""
    ca: Pem | None = None
    """The certificates to trust for this webhook, in place of the system's."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given together")
        if self.certificate is None and self.ca is None:
            raise ValueError("must have a certificate and its key, or a ca")
        return self


class WithCredentials(Form):
    """Accept a user name and a password in the URL: they become the authentication."""

    @model_validator(mode="before")
    @classmethod
    def _take_userinfo(cls, data: Any) -> Any:  # noqa: ANN401 - not validated yet
        if not isinstance(data, dict) or not isinstance(data.get("url"), str):
            return data
        url, userinfo = split_userinfo(data["url"])
        if userinfo is None or data.get("authentication") is not None:
            return data
        username, password = userinfo
        basic = {"type": "basic", "username": username, "password": password}
        return {**data, "url": url, "authentication": basic}

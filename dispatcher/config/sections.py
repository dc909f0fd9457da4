"""The sections of the configuration: each is a table of `config.example.toml`.

Each attribute is a key of its table. Durations are seconds after loading.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from dispatcher.config.fields import (
    AT_LEAST_ONE,
    BLANK_IS_NONE,
    LIST,
    UNITS,
    Dsn,
    EncryptionKey,
    NetworkText,
    ProxyCredentials,
    ProxyUrl,
    between,
    header_name,
    one_line,
    seconds,
)
from dispatcher.core.model import RetryPolicy
from dispatcher.core.payload import DATA_LIMIT_BYTES
from dispatcher.core.request_headers import (
    DEFAULT_BRAND,
    RequestBuilder,
    is_reserved_header,
    varying_headers,
)
from dispatcher.core.retry_schedule import longest_span
from dispatcher.core.signing import HeaderNames, SchemeName

SYSTEM_STATE = Path("/var/lib/dispatcher")

_TOKEN = re.compile(r"[!-~]{32,}")


class ConfigError(Exception):
    """The configuration cannot be used. The text has one line a problem, `section.key: message`.

    It never contains the value of a secret.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


OptionalPath = Annotated[Path | None, BLANK_IS_NONE]
HostName = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])$")
]
"""A host name as in a Host header, without a port."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Database(_Section):
    """Where PostgreSQL is.

    Without `dsn`, an embedded server keeps its data in the state directory.
    """

    dsn: Annotated[Dsn | None, BLANK_IS_NONE] = None
    state_directory: OptionalPath = None
    binaries: OptionalPath = None
    statement_timeout: Annotated[float, between("100ms", "10m")] = seconds("10s")
    notify: bool = True


class Delivery(_Section):
    """How events are sent, how large one may be, and when a failing endpoint is disabled."""

    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 32
    connect_timeout: Annotated[float, between("10ms", "30s")] = seconds("5s")
    timeout: Annotated[float, between("10ms", "30s")] = seconds("15s")
    response_body: Annotated[int, Field(ge=0, le=65_536)] = 16_384
    max_data: Annotated[int, Field(ge=1, le=DATA_LIMIT_BYTES)] = 262_144
    disable_after: Annotated[float, between("1s", "365d")] = seconds("5d")
    paused: bool = False


class Retry(_Section):
    """When to retry a failed delivery, unless its endpoint has its own schedule."""

    retries: Annotated[int, Field(ge=0, le=50)] = 5
    base: Annotated[float, between("1ms", "1d")] = seconds("10s")
    factor: Annotated[float, Field(ge=1, le=100)] = 12.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    cap: Annotated[float, between("1ms", "30d")] = seconds("3d")

    def policy(self) -> RetryPolicy:
        """Return the section as a retry policy."""
        return RetryPolicy(self.retries, self.base, self.factor, self.jitter, self.cap)

    def longest_span(self) -> float:
        """Return the seconds from the first attempt to the last if every delay is the longest."""
        return longest_span(self.policy())


class Signing(_Section):
    """Which signatures a request carries. `{brand}` in a header's name stands for `brand`."""

    model_config = ConfigDict(validate_default=True)

    brand: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,31}$")] = DEFAULT_BRAND
    schemes: Annotated[tuple[SchemeName, ...], LIST, AT_LEAST_ONE] = ("body-hex", "standard")
    body_hex_header: str = "X-{brand}-Signature"
    timestamped_hex_header: str = "X-{brand}-Timestamped-Signature"
    timestamped_hex_timestamp_header: str = "X-{brand}-Timestamp"
    stripe_header: str = "X-{brand}-Stripe-Signature"

    def header_names(self) -> HeaderNames:
        """Return the names of the signature headers, with the brand in them."""
        return HeaderNames(
            body_hex=self.body_hex_header,
            timestamped_hex=self.timestamped_hex_header,
            timestamped_hex_timestamp=self.timestamped_hex_timestamp_header,
            stripe=self.stripe_header,
        )

    def request_builder(self) -> RequestBuilder:
        """Return a builder of signed requests."""
        return RequestBuilder(brand=self.brand, schemes=self.schemes, names=self.header_names())

    @field_validator(
        "body_hex_header",
        "timestamped_hex_header",
        "timestamped_hex_timestamp_header",
        "stripe_header",
    )
    @classmethod
    def _writable(cls, template: str, info: ValidationInfo) -> str:
        """Return the header's name with the brand in it.

        Raise ValueError if the name is invalid, or if another header of the request has it.
        """
        earlier = info.data
        brand, schemes = earlier.get("brand"), earlier.get("schemes", ())
        name = header_name(template.replace("{brand}", brand or "Brand"))
        if _scheme_of(info.field_name) not in schemes:
            return name
        of_brand = {header.lower() for header in varying_headers(f"{brand}")}
        if is_reserved_header(name) or name.lower() in of_brand:
            raise ValueError(f"{name} is written by something else")
        for key, value in earlier.items():
            if _scheme_of(key) in schemes and value.lower() == name.lower():
                raise ValueError(f"{name} is already written by signing.{key}")
        return name


def _scheme_of(key: str | None) -> str:
    """Return the scheme of a key: `timestamped-hex` for `timestamped_hex_timestamp_header`."""
    name = (key or "").removesuffix("_header").removesuffix("_timestamp")
    return name.replace("_", "-")


class Egress(_Section):
    """Which addresses the daemon may connect to, and through which proxy.

    `proxy_credentials` wins over `proxy_credentials_file`.
    """

    allow: Annotated[tuple[NetworkText, ...], LIST] = ()
    https_only: bool = False
    proxy: Annotated[ProxyUrl | None, BLANK_IS_NONE] = None
    proxy_credentials: Annotated[ProxyCredentials | None, BLANK_IS_NONE] = None
    proxy_credentials_file: OptionalPath = None


class Secrets(_Section):
    """The key that encrypts signing secrets in the database; `key` wins over `key_file`.

    `second_key` only decrypts, while the key is changed; it wins over `second_key_file`.
    `admin_token` allows everything in every environment; it is in no table of the database.
    """

    key: Annotated[EncryptionKey | None, BLANK_IS_NONE] = None
    key_file: OptionalPath = None
    second_key: Annotated[EncryptionKey | None, BLANK_IS_NONE] = None
    second_key_file: OptionalPath = None
    admin_token: Annotated[SecretStr | None, BLANK_IS_NONE] = None

    @field_validator("admin_token")
    @classmethod
    def _can_be_shown(cls, token: SecretStr | None) -> SecretStr | None:
        """Return the token if it fits into a header and is too long to guess."""
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("must be 32 or more printable ASCII characters without spaces")
        return token


class Admin(_Section):
    """Where the admin port listens.

    Port 0 means any free port. `hosts` are the host names that it answers to; without them it
    answers to all.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    hosts: Annotated[tuple[HostName, ...], LIST] = ()


class Dashboard(_Section):
    """How the dashboard looks. `title` stands in its titles, its menu and its sign-in page."""

    title: Annotated[str, Field(max_length=64), AfterValidator(one_line)] = "Dispatcher"


class Limits(_Section):
    """Limits of how many objects may exist, and of how much one request may ask for."""

    environments: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    webhooks: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    patterns: Annotated[int, Field(ge=1, le=200)] = 200
    headers: Annotated[int, Field(ge=0, le=20)] = 20
    metadata_bytes: Annotated[int, Field(ge=2, le=16_384)] = 16_384
    event_types: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    page: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    page_bytes: Annotated[int, Field(ge=65_536, le=64 * 2**20)] = 2**20
    body_bytes: Annotated[int, Field(ge=65_536, le=64 * 2**20)] = 2**20
    connections: Annotated[int, Field(ge=16, le=10_000)] = 512
    connections_per_address: Annotated[int, Field(ge=1, le=10_000)] = 64


class Retention(_Section):
    """How long history is kept.

    Events and attempts are dropped by whole days, because their partitions are days.
    """

    events: Annotated[float, between("1d", "3650d")] = seconds("30d")
    attempts: Annotated[float, between("1d", "3650d")] = seconds("14d")
    audit: Annotated[float, between("1d", "3650d")] = seconds("400d")


class Log(_Section):
    """The log lines on standard output; the format `auto` is console on a terminal, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(_Section):
    """The whole configuration. Use `load` to build one."""

    database: Database = Database()
    delivery: Delivery = Delivery()
    retry: Retry = Retry()
    signing: Signing = Signing()
    egress: Egress = Egress()
    secrets: Secrets = Secrets()
    admin: Admin = Admin()
    dashboard: Dashboard = Dashboard()
    limits: Limits = Limits()
    retention: Retention = Field(Retention(), validate_default=True)
    log: Log = Log()

    @field_validator("retention")
    @classmethod
    def _outlives_retries(cls, retention: Retention, info: ValidationInfo) -> Retention:
        """Return the retention if no event is dropped while a retry or an attempt still needs it.

        Raise an error at `retention.events` otherwise.
        """
        if retry := info.data.get("retry"):
            needed = (retention.attempts + retry.longest_span()) / UNITS["d"]
            if retention.events / UNITS["d"] < needed:
                message = (
                    "must be at least retention.attempts + the longest span of [retry], "
                    f"here {needed:.2f}d"
                )
                raise PydanticCustomError("span", "{message}", {"message": message, "at": "events"})
        return retention

    def state_directory(self, environ: Mapping[str, str] = os.environ) -> Path:
        """Return the directory of the embedded server and the key file.

        Raise ConfigError if it is not configured and there is no home directory.
        """
        if self.database.state_directory:
            return self.database.state_directory
        if directories := environ.get("STATE_DIRECTORY"):
            return Path(directories.partition(":")[0])
        if os.geteuid() == 0:
            return SYSTEM_STATE
        state = Path(environ.get("XDG_STATE_HOME", ""))
        if state.is_absolute():
            return state / "dispatcher"
        if home := environ.get("HOME"):
            return Path(home) / ".local" / "state" / "dispatcher"
        raise ConfigError(["database.state_directory: must be set, since HOME is not"])

"""The configuration: one frozen object, checked as a whole before anything starts.

Every section below is a table of `config.example.toml`, every attribute a key of it. A value
comes from the first of: an override by the caller (a command-line option), the environment
(`DISPATCHER_SECTION__KEY`), a credential file (`$CREDENTIALS_DIRECTORY/section.key`), the TOML
file, the default. Durations are seconds once loaded.

Layers of settings are merged here and not by a settings library, because those ignore a
misspelt section in the environment and stop at the first malformed list: all problems are
reported at once.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails

from dispatcher.config.sections import Config, ConfigError

PREFIX = "DISPATCHER_"
SYSTEM_FILE = Path("/etc/dispatcher/config.toml")
_CREDENTIAL = re.compile(r"([a-z]+)(?:\.|__?)([a-z_]+)")
_SHOULD = re.compile(r"^(Input|String|Value) should")

Layer = Mapping[str, Any]
"""Settings from one place: sections by name, each a mapping of keys (or something malformed)."""


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Layer | None = None,
) -> Config:
    """The configuration from all its places; ConfigError naming everything wrong with it.

    Without a `path` the file is `$DISPATCHER_CONFIG`, else `config.toml` in the working directory,
    else `/etc/dispatcher/config.toml`, else none. `overrides` has the form of the file.
    """
    file = path or _default_file(environ)
    layers = [
        _file_layer(file) if file else {},
        _credential_layer(environ.get("CREDENTIALS_DIRECTORY")),
        _environment_layer(environ),
        overrides or {},
    ]
    misnamed = _misnamed(environ)
    try:
        config = Config.model_validate(_merged(layers))
    except ValidationError as error:
        raise ConfigError([*misnamed, *map(_problem, error.errors(include_url=False))]) from None
    if misnamed:
        raise ConfigError(misnamed)
    return config


def _default_file(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get(f"{PREFIX}CONFIG"):
        return Path(named)
    return next((path for path in (Path("config.toml"), SYSTEM_FILE) if path.exists()), None)


def _file_layer(path: Path) -> Layer:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None


def _credential_layer(directory: str | None) -> Layer:
    """Files named `section.key`, `section_key` or `section__key`; others are not ours to read."""
    layer: dict[str, dict[str, str]] = {}
    try:
        for path in Path(directory).iterdir() if directory else ():
            named = _CREDENTIAL.fullmatch(path.name)
            if named and named[2] in _keys(named[1]):
                text = path.read_bytes().decode(errors="replace").rstrip("\r\n")
                layer.setdefault(named[1], {})[named[2]] = text
    except OSError as error:
        raise ConfigError([f"{error.filename}: {error.strerror}"]) from None
    return layer


def _environment_layer(environ: Mapping[str, str]) -> Layer:
    layer: dict[str, dict[str, str]] = {}
    for name, value in environ.items():
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator:
            layer.setdefault(section, {})[key] = value
    return layer


def _misnamed(environ: Mapping[str, str]) -> list[str]:
    """Variables with one underscore where two belong, which would silently do nothing."""
    return [
        f"{section}.{key}: is set by {PREFIX}{section.upper()}__{key.upper()}, not {name}"
        for section in Config.model_fields
        for key in _keys(section)
        if (name := f"{PREFIX}{section}_{key}".upper()) in environ
    ]


def _merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """Later layers win, key by key; what is not a table replaces what was there."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, keys in layer.items():
            below = merged.get(section, {})
            both = isinstance(keys, Mapping) and isinstance(below, Mapping)
            merged[section] = {**below, **keys} if both else keys
    return merged


def _keys(section: str) -> Iterable[str]:
    """The keys of a section; none of one that does not exist."""
    field = Config.model_fields.get(section)
    return field.annotation.model_fields if field else ()  # type: ignore[union-attr] # every section is a model


def _problem(error: ErrorDetails) -> str:
    """One line about one bad value, without the value (it may be a secret)."""
    context: dict[str, Any] = error.get("ctx", {})
    place = [str(part) for part in (*error["loc"], *filter(None, [context.get("at")]))]
    if error["type"] == "extra_forbidden":
        known = Config.model_fields if len(place) == 1 else _keys(place[0])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{'.'.join(place)}: unknown {'section' if len(place) == 1 else 'key'}{hint}"
    if error["type"] == "value_error":
        return f"{'.'.join(place)}: {context['error']}"
    if error["type"] == "model_type":
        return f"{'.'.join(place)}: must be a table"
    return f"{'.'.join(place)}: {_SHOULD.sub('must', error['msg'])}"

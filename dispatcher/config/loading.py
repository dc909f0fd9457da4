"""Load the configuration: one frozen object, checked as a whole before anything starts.

Every section is a table of `config.example.toml`, every attribute a key of it. A value comes from
the first of: an override by the caller (a command-line option), the environment
(`DISPATCHER_SECTION__KEY`), a credential file (`$CREDENTIALS_DIRECTORY/section.key`), the TOML
file, the default. Durations are seconds after loading.

This module merges the layers itself. A settings library ignores a misspelt section in the
environment and stops at the first malformed list; this module reports all problems at once.
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
    """Return the configuration, merged from all its places.

    Without `path`, the file is `$DISPATCHER_CONFIG`, else `config.toml` in the working directory,
    else `/etc/dispatcher/config.toml`, else none. `overrides` has the form of the file. Raise
    ConfigError with every problem.
    """
    file = path or default_file(environ)
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


def default_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the configuration file that is read if none is given, None if there is none."""
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
    """Return the settings in files named `section.key`, `section_key` or `section__key`.

    Other files are ignored: they belong to other programs.
    """
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
    """Return a problem for each variable with one underscore instead of two.

    Otherwise such a variable would have no effect, and no message would say so.
    """
    return [
        f"{section}.{key}: is set by {PREFIX}{section.upper()}__{key.upper()}, not {name}"
        for section in Config.model_fields
        for key in _keys(section)
        if (name := f"{PREFIX}{section}_{key}".upper()) in environ
    ]


def _merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """Merge the layers key by key; later layers win.

    A section that is not a table replaces the section of the layers before it.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, keys in layer.items():
            below = merged.get(section, {})
            both = isinstance(keys, Mapping) and isinstance(below, Mapping)
            merged[section] = {**below, **keys} if both else keys
    return merged


def _keys(section: str) -> Iterable[str]:
    """Return the keys of a section; none if the section does not exist."""
    field = Config.model_fields.get(section)
    return field.annotation.model_fields if field else ()  # type: ignore[union-attr] # every section is a model


def _problem(error: ErrorDetails) -> str:
    """Return one line about one bad value, without the value, which may be a secret."""
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

"""Read the operator's proxy from the configuration, and its credentials from their file."""

from base64 import b64encode
from urllib.parse import urlsplit

from dispatcher.config.secret_file import read_secret_file
from dispatcher.config.sections import Config
from dispatcher.transport.connecting.proxy import Proxy


def proxy_from_config(config: Config) -> Proxy | None:
    """Return the configured proxy, None if there is none. Raise ConfigError."""
    if config.egress.proxy is None:
        return None
    parts = urlsplit(config.egress.proxy)
    credentials = _credentials(config)
    authorization = f"Basic {b64encode(credentials.encode()).decode()}" if credentials else ""
    return Proxy(parts.hostname or "", parts.port or 80, authorization)


def _credentials(config: Config) -> str:
    if config.egress.proxy_credentials is not None:
        return config.egress.proxy_credentials.get_secret_value()
    path = config.egress.proxy_credentials_file
    if path is None:
        return ""
    return read_secret_file("egress.proxy_credentials_file", path, _user_and_password)


def _user_and_password(text: str) -> str:
    if ":" not in text or not text.isprintable():
        raise ValueError("must hold user:password in one line")
    return text

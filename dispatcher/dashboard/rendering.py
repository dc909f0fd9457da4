"""Responses from templates and static files, with the common headers and compression."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from dispatcher.dashboard import template_filters
from dispatcher.dashboard.protection import (
    COMPRESSED_BYTES,
    EXECUTOR_BYTES,
    HEADERS,
    takes_gzip,
)

CACHED_FILE_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class File:
    """A static file: its bytes, its compressed bytes, and its media type."""

    data: bytes
    zipped: bytes
    type: str


@dataclass(frozen=True, slots=True)
class Files:
    """The static files.

    A name contains a hash of the content, so browsers may cache the file without limit.
    """

    content: dict[str, File]
    names: dict[str, str]

    @classmethod
    def read(cls) -> "Files":
        """Read and compress the files in the package."""
        content, names = {}, {}
        root = files("dispatcher.dashboard").joinpath("static")
        for folder in (root, root.joinpath("vendor")):
            for file in folder.iterdir():
                suffix = file.name[file.name.rfind(".") :]
                if file.is_file() and suffix in TYPES:
                    data = file.read_bytes()
                    named = f"{sha256(data).hexdigest()[:12]}-{file.name}"
                    content[named] = File(data, gzip.compress(data, mtime=0), TYPES[suffix])
                    names[file.name] = f"/static/{named}"
        return cls(content, names)

    async def serve(self, request: web.Request) -> web.Response:
        """Return a static file. Raise HTTPNotFound if there is none of this name."""
        file = self.content.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        zipped = takes_gzip(request)
        headers = (
            {**CACHED_FILE_HEADERS, "Content-Encoding": "gzip"} if zipped else CACHED_FILE_HEADERS
        )
        body = file.zipped if zipped else file.data
        return web.Response(body=body, content_type=file.type, charset="utf-8", headers=headers)


class Renderer:
    """The rendering of templates as responses. `brand` is the name that every page shows."""

    def __init__(self, templates: Environment, brand: str) -> None:
        self._templates = templates
        self._brand = brand

    def page(
        self,
        http: web.Request,
        template: str,
        /,
        *,
        status: int = 200,
        secret: bool = False,
        **context: object,
    ) -> web.Response:
        """Return a page.

        A page with a `secret` is not compressed. Otherwise its length would depend on the secret
        and on text that an attacker may have put beside it.
        """
        text = self._templates.get_template(template).render(brand=self._brand, **context)
        return answer(http, text.encode(), "text/html", status=status, compressed=not secret)


@cache
def open_package() -> tuple[Files, Environment]:
    """Return the static files and the templates of the package.

    They are made once in a process: compressing the files and compiling the templates takes most of
    the time that a daemon needs to start and to show its first pages.
    """
    static = Files.read()
    templates = Environment(
        loader=PackageLoader("dispatcher.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(template_filters.FILTERS)
    templates.globals["static"] = static.names.__getitem__
    return static, templates


def answer(
    request: web.Request,
    body: bytes,
    content_type: str,
    *,
    status: int = 200,
    compressed: bool = True,
    headers: Mapping[str, str] = HEADERS,
) -> web.Response:
    """Return a response, compressed if it is long enough and the browser accepts gzip."""
    response = web.Response(
        body=body,
        status=status,
        content_type=content_type,
        charset="utf-8" if content_type == "text/html" else None,
        headers=headers,
        zlib_executor_size=EXECUTOR_BYTES,
    )
    if compressed and len(body) >= COMPRESSED_BYTES and takes_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)
    return response

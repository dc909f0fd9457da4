"""Reads pages as a browser does: their forms with what is in them, and every address in them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = list[tuple[str, str | None]]
ADDRESSES = ("href", "src", "action", "hx-get", "hx-post")


@dataclass(slots=True)
class Form:
    """A form as it is when the page is opened."""

    method: str
    action: str
    fields: dict[str, str | list[str]] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


class Markup(HTMLParser):
    """`addresses` are those that lead somewhere, in the order of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.addresses: list[tuple[str, str]] = []
        self._open: Form | None = None
        self._button = False
        self._area: str | None = None
        self.feed(text)

    def form(self, ending: str) -> Form:
        """The first form whose action ends so."""
        return next(form for form in self.forms if form.action.endswith(ending))

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        attributes = {name: value or "" for name, value in attrs}
        for name in ADDRESSES:
            if name in attributes:
                self.addresses.append((f"{tag} {name}", attributes[name]))
        if tag == "meta" and attributes.get("name") == "address":
            self.addresses.append(("meta address", attributes["content"]))
        if tag == "form":
            self._open = Form(attributes.get("method", "get"), attributes["action"])
            self.forms.append(self._open)
        if self._open is not None:
            self._in_form(self._open, tag, attributes)

    def _in_form(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        if tag == "button":
            self._button = True
            form.buttons.append("")
        if tag == "textarea":
            self._area = attributes["name"]
            form.fields[self._area] = ""
        ticked = attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes
        if tag == "input" and "name" in attributes and ticked:
            form.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        self._button = self._button and tag != "button"
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._open is None:
            return
        if self._area is not None:
            self._open.fields[self._area] = data
        if self._button:
            self._open.buttons[-1] += data

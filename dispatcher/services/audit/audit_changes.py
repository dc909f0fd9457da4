"""Compare the fields of an object before and after a change, and read this from an audit entry.

Do no I/O.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

_NOT_FIELDS: Final = ("changed", "before")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A changed field. A value that is not in the audit log is UNKNOWN."""

    name: str
    before: object
    after: object


UNKNOWN: Final = object()
"""The value of a field that is not recorded, for example because it is a secret."""


def detail(
    changed: Collection[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the detail of an audit entry.

    It has the names of all `changed` fields, the new values of those in `after`, and the earlier
    values of those in `before` that differ.
    """
    details: dict[str, Any] = {"changed": sorted(changed)}
    details |= {name: value for name, value in after.items() if name in changed}
    earlier = {
        name: before[name]
        for name in after
        if name in changed and name in before and before[name] != after[name]
    }
    return {**details, "before": earlier} if earlier else details


def field_changes(detail: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """Return the changed fields of an entry, and what else its detail says."""
    before = detail.get("before")
    before = before if isinstance(before, dict) else {}
    changed = detail.get("changed")
    names = [name for name in changed if isinstance(name, str)] if isinstance(changed, list) else []
    names += [name for name in detail if name not in (*_NOT_FIELDS, *names)]
    return tuple(
        FieldChange(name, before.get(name, UNKNOWN), detail.get(name, UNKNOWN)) for name in names
    )

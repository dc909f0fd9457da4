"""All patterns of a type, to compare with the rule of the program and with that of the database."""

from dispatcher.core.event_patterns import ALL_TYPES, is_reserved


def candidates(type: str) -> tuple[str, ...]:
    """Return every pattern that matches `type`, the narrowest first."""
    if is_reserved(type):
        return (type,)
    segments = type.split(".")
    prefixes = (".".join(segments[:kept]) for kept in range(len(segments) - 1, 0, -1))
    return (type, *(f"{prefix}.*" for prefix in prefixes), ALL_TYPES)

"""What may be asked of the figures."""

from dispatcher.services.inputs.base import Form


class StatsQuery(Form):
    """Of the environment of the request, if nothing else is said."""

    all: bool = False
    """Of every environment together; for a token that is bound to none."""

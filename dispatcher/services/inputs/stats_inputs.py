"""Define the inputs for the figures."""

from dispatcher.services.inputs.base import Form


class StatsQuery(Form):
    """Select the environment of the request, or all environments."""

    all: bool = False
    """Whether to sum up every environment. The token must be for all environments."""

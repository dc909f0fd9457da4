"""What may be asked of pauses."""

from dispatcher.services.inputs.base import Form


class PauseForm(Form):
    """Of the environment of the request, if nothing else is said."""

    all: bool = False
    """Of every environment."""

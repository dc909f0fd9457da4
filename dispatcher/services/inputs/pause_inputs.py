"""Define the inputs for pauses."""

from dispatcher.services.inputs.base import Form


class PauseForm(Form):
    """Pause or resume the environment of the request, or all environments."""

    all: bool = False
    """Whether to pause or resume every environment."""

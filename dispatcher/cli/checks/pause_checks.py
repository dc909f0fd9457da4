"""The warnings of `dispatcher check` about pauses."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.store.session import Session


async def warnings(config: "Config", session: "Session") -> list[str]:
    """Return a sentence for each active pause, and one for the effect of `delivery.paused`."""
    from dispatcher.cli.database import actor
    from dispatcher.cli.output.tables import counted
    from dispatcher.services.pauses import Pauses

    async with session.transaction() as opened:
        pauses = Pauses(opened, actor())
        active, totals = await pauses.current(), await pauses.totals()
        applies = config.delivery.paused and not await pauses.was_configured()
    messages = [
        f"sending is paused for {pause.environment_id or 'all environments'}"
        f" since {pause.since.isoformat(timespec='seconds')}, by {pause.by or 'unknown'}:"
        f" `dispatcher resume {_option(pause.environment_id)}`"
        for pause in active
    ]
    unlisted = totals.environments - sum(pause.environment_id is not None for pause in active)
    if unlisted > 0:
        messages.append(f"sending is paused for {counted(unlisted, 'more environment')}")
    if applies:
        messages.append(
            "delivery.paused is set: `dispatcher run` will pause sending for all environments"
        )
    elif config.delivery.paused:
        messages.append(
            "delivery.paused is set and was applied before: it has no effect any more, so remove it"
        )
    return messages


def _option(environment_id: str | None) -> str:
    return f"--environment {environment_id}" if environment_id else "--all"

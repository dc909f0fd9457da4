"""Bound the previews, which count what a bulk action would change or a replay would send.

The client waits for the count, so it stops at a number and after a time.
"""

from typing import Final

COUNT_LIMIT: Final = 100_000
"""The number at which counting stops."""
COUNT_SECONDS: Final = 2.0
"""The time after which counting stops."""

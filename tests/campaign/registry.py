"""All campaigns whose ledger is judged, by name."""

from tests.campaign import campaigns, rows, silence

CAMPAIGNS = {**campaigns.CAMPAIGNS, **silence.CAMPAIGNS, **rows.CAMPAIGNS}

"""The console's pages of payers, a module by area. Keys are here, because who may let whom pay is known here."""

from apps.orgs.admin import keys, members, organisations, tiers

__all__ = ["keys", "members", "organisations", "tiers"]

"""Containers that have the packages installed, and accounts that wish them ill."""

from __future__ import annotations

from tests.system.conftest import container, debs, explain

__all__ = ["container", "debs", "explain"]

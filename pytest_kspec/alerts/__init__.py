"""Alerts: what changed, who hears of it, in which form, and its delivery."""

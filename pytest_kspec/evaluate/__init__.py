"""The one runner of checks, without pytest: what every shell stands on."""

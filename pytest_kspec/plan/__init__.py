"""specification × checks × cluster → plan, with a reason for everything left out."""

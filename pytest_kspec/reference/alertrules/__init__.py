"""The alert rules by what they watch; `reference.alerts` has all of them in order."""

"""Catalogs of controls of compliance frameworks."""

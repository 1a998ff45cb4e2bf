"""Catalogues of controls of compliance frameworks."""

"""Reports: golden files, schema, and the HTML in a real browser."""

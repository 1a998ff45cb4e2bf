"""How a store got its tables, one revision after the other."""

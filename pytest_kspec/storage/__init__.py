"""Results over time in a database, SQLite or PostgreSQL. Imported only when a store is asked for."""

"""What servers share: bounds of a connection and of a client."""

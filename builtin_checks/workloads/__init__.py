"""What pods and their containers must and must not be, and where their images come from."""

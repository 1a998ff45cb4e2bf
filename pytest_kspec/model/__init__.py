"""What things are: specification, exemption, check, finding, result, resources. No I/O but reading spec files."""

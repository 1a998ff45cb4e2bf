"""What things are: specification, exemption, check, finding, result, resources, versions. No I/O but reading spec files."""

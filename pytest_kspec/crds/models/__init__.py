"""The fields of the custom resources, as pydantic models."""

"""CustomResourceDefinitions and their structural schemas, made from the models."""

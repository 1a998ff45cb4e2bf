"""Custom resources: the models as CustomResourceDefinitions, and results as objects of them. No I/O."""

"""Pod Security Standards: namespace labels, and one module for each restricted field of pods."""

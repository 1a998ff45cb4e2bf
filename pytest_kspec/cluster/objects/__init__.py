"""From bytes to objects: answers, documents, shapes of pods."""

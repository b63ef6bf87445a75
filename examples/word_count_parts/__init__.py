"""The parts of the word count: reading, adding up, carrying from thread to thread."""

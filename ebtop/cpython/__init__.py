"""CPython as seen from outside: where a build keeps its frames, and what they say."""

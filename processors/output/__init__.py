"""From a frame to encoded renditions and the placeholder."""

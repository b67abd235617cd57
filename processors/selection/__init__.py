"""Which frame of a video or an animation is shown."""

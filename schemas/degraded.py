"""Why a thumbnail is less than its source could show: it is ready, and worth a look."""

from enum import StrEnum


class DegradedReason(StrEnum):
    """The words of `degraded_reason` in thumbnail.ready. Their meaning never changes; releases may add words."""

    DAMAGED = "damaged"
    """A part of the source is missing or broken: what it should show is grey, smeared or coarse."""
    COVER = "cover"
    """Nothing of the video itself can be shown; this is the cover that its file carries."""
    PREVIEW = "preview"
    """The picture itself cannot be read; this is the preview that its file carries."""
    TEXT = "text"
    """The text in a drawing is left out: there are no fonts."""
    COLOURS = "colours"
    """The colours are coded in a way that cannot be undone exactly, so that they look different."""

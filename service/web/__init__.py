"""`thumbnails web`: the newest thumbnails and failures on a page, as they happen. See docs/web.md."""

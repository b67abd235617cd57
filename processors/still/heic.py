"""Read HEIC pictures, only where the extra `heic` is installed and the slot allows it: their decoder needs threads."""

from importlib.util import find_spec
from typing import Final

_PLUGIN: Final = "pillow_heif"
_FORMAT: Final = "HEIF"


def is_heic_installed() -> bool:
    """Return whether the extra `heic` is installed; nothing is loaded."""
    return find_spec(_PLUGIN) is not None


def register_heic() -> None:
    """Teach Pillow in this process to open HEIC. Raises ImportError without the extra."""
    import pillow_heif

    # One thread is asked for; libde265 starts one nevertheless. Thumbnails and depth maps inside are never looked at.
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def can_read_heic() -> bool:
    """Return whether this process was taught to."""
    from PIL import Image  # not for the process that only asks whether the extra is there

    return _FORMAT in Image.OPEN

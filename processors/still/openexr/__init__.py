"""OpenEXR pictures that FFmpeg has no way for: luminance with chroma at a part of the resolution, and deep ones."""

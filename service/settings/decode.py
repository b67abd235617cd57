"""How media are decoded, and what thumbnails are like."""

import os
from typing import Literal

from pydantic import Field, field_validator

from processors import limits
from processors.output.renditions import parse_renditions
from processors.types import AlphaMode, Effort, FrameDecoder, FrameStrategy, PictureFormat
from service.settings.component import Component


class DecodeSettings(Component):
    """How media are decoded."""

    decode_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Number of files decoded in parallel; by default one for each core.",
    )
    decode_timeout_s: float = Field(30.0, gt=0, description="Wall time of one decode, in seconds.")
    decode_cpu_s: int = Field(limits.CPU_S, ge=1, le=3600, description="Processor time of one decode, in seconds.")
    decode_memory_mb: int = Field(1024, ge=128, description="Memory of one decode, in MiB.")
    decode_max_source_bytes: int = Field(
        limits.MAX_SOURCE_BYTES, ge=1, description="Larger sources are refused, in bytes."
    )
    decode_max_pixels: int = Field(
        limits.MAX_PIXELS,
        ge=1,
        le=2**31 - 1,
        description="Video frames with more pixels are refused, and pictures, unless they can be decoded in parts: those"
        " have at most three times as many.",
    )
    decode_max_frames: int = Field(
        limits.MAX_FRAMES,
        ge=0,
        description="Animated pictures with more frames are refused; 0: none is for its frames.",
    )
    decode_max_reads: int = Field(
        limits.MAX_READS, ge=16, description="Requests that one decode may make to the storage."
    )
    decode_max_read_bytes: int = Field(
        limits.MAX_BYTES_READ,
        ge=limits.MIB,
        description="Bytes that one decode may read; never more than twice the source and 64 MiB.",
    )
    decode_confinement: Literal["required", "best_effort", "off"] = Field(
        "required",
        description="required: do not start unless seccomp (and Landlock, where the kernel has it) can sandbox the decoders.",
    )
    decode_heic: Literal["auto", "off"] = Field(
        "auto", description="Whether HEIC pictures are read: auto where the extra `heic` is installed."
    )
    decode_reuse: Literal["off", "tenant"] = Field(
        "off",
        description="off: each file is decoded in a process of its own. tenant: the next file of the same company may be decoded"
        " in the process of its last one, for less processor time; a hostile file could then change its company's next thumbnails.",
    )
    decode_reuse_jobs: int = Field(100, ge=2, le=10_000, description="With DECODE_REUSE=tenant, files of one process.")
    decode_reuse_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="With DECODE_REUSE=tenant, how long a process stays with a company, in seconds.",
    )
    frame_decoder: FrameDecoder = Field("auto", description="Library that reads frames from videos.")
    frame_strategy: FrameStrategy = Field("smart", description="How the frame of a video is selected.")
    thumbnail_renditions: str = Field(
        "small:150x112:fit,medium:320x240:fit,large:640x480:fit",
        description="Thumbnails made of each source, at most 16: name:WIDTHxHEIGHT, then :fit or :fill, then, where one differs"
        " from the others, its format and quality: small:150x112:fit:jpeg:84.",
    )
    thumbnail_format: PictureFormat = Field(
        PictureFormat.WEBP, description=f"Format of the thumbnails: {', '.join(PictureFormat)}."
    )
    thumbnail_quality: int = Field(80, ge=1, le=100, description="Quality of the thumbnails' encoding.")
    thumbnail_effort: Effort = Field(
        "low",
        description="Time of the encoders. high: WebP by method 4, JPEG progressive with tables of its own, AVIF at speed 8, for"
        " somewhat fewer bytes.",
    )
    thumbnail_max_bytes: int = Field(
        limits.MAX_RENDITION_BYTES,
        ge=1024,
        description="Size limit in bytes: a larger thumbnail is encoded again with less quality, then with fewer pixels.",
    )
    thumbnail_alpha: AlphaMode = Field(
        "keep", description="keep transparency, or flatten it onto the background; JPEG is always flattened."
    )
    thumbnail_background: str = Field(
        "ffffff",
        pattern="^#?[0-9a-fA-F]{6}$",
        description="Background colour behind transparency: RRGGBB, in hexadecimal.",
    )

    @field_validator("thumbnail_renditions")
    @classmethod
    def _parse(cls, value: str) -> str:
        parse_renditions(value)
        return value

    @field_validator("thumbnail_background")
    @classmethod
    def _bare(cls, value: str) -> str:
        return value.removeprefix("#")

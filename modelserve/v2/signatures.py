"""Which media type some bytes are of, by how they begin: the formats that models answer with.

first bytes --> media_type_of(...) --> "image/png", or "" where nothing is known
"""

from __future__ import annotations

import codecs
import re

__all__ = ["BINARY", "HEAD_BYTES", "is_text", "media_type_of"]

# As many are looked at: an SVG may have a declaration and a comment before its root.
HEAD_BYTES = 512

# https://mimesniff.spec.whatwg.org/#matching-a-mime-type-pattern, and the formats' own documents.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"BM.{4}\0{4}", "image/bmp"),
    (rb"II[*+]\0|MM\0[*+]", "image/tiff"),
    (rb"\0\0\x01\0", "image/x-icon"),
    (rb"....ftypavi[fs]", "image/avif"),
    (rb"....ftyp(hei[cx]|mif1)", "image/heic"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.*?\?>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg.*?>\s*)?<svg[\s>]", "image/svg+xml"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"ID3|\xff[\xfb\xf3\xf2]", "audio/mpeg"),
    (rb"fLaC", "audio/flac"),
    (rb"OggS", "audio/ogg"),
    (rb"....ftypM4A", "audio/mp4"),
    (rb"....ftyp", "video/mp4"),
    (rb"\x1aE\xdf\xa3", "video/webm"),
    (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"%PDF-", "application/pdf"),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "application/zip"),
    (rb"\x1f\x8b", "application/gzip"),
    (rb"\x93NUMPY", "application/x-npy"),
    (rb"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)[\s>]", "text/html"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), media_type) for pattern, media_type in _SIGNATURES)

BINARY = frozenset(media_type for _, media_type in _SIGNATURES) - {"image/svg+xml", "text/html"}
"""The media types whose content always begins with a signature, and is no text."""


def media_type_of(head: bytes) -> str:
    """Return the media type of content that begins with these bytes, "" for one that is not known."""
    head = head[:HEAD_BYTES]
    return next((media_type for pattern, media_type in _PATTERNS if pattern.match(head)), "")


def is_text(head: bytes) -> bool:
    """Tell whether content that begins with these bytes may be text in UTF-8, whose last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head

"""How a recording's blocks are compressed: by Zstandard where it is there, else by zlib.

Python has Zstandard from 3.14 on; Debian has libzstd.so.1 on every system, for apt. The level is
the fastest of both: a higher one saves a twentieth and takes twice the time.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pidscope.errors import RecordingError

if TYPE_CHECKING:
    import ctypes

STORED, ZLIB, ZSTD = 0, 1, 2  # as a frame names them
_LEVEL = 1


class _Zstd(NamedTuple):
    compress: Callable[[bytes], bytes]
    expand: Callable[[bytes, int], bytes]


def best() -> int:
    """Return the codec to write with."""
    return ZLIB if _zstd() is None else ZSTD


def compress(codec: int, data: bytes) -> bytes:
    """Compress with a codec that is there: with that of `best`, or ZLIB, or STORED."""
    if codec == STORED:
        return data
    zstd = _zstd() if codec == ZSTD else None
    return zlib.compress(data, _LEVEL) if zstd is None else zstd.compress(data)


def expand(codec: int, data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes that were compressed; never allocates more.

    Raises RecordingError: the data is something else, or this machine has no such codec.
    """
    if codec == STORED:
        expanded = data
    elif codec == ZLIB:
        expanded = _inflate(data, size)
    elif codec == ZSTD:
        zstd = _zstd()
        if zstd is None:
            raise RecordingError(
                "it is compressed by Zstandard, which is not there", "install libzstd1"
            )
        expanded = zstd.expand(data, size)
    else:
        raise RecordingError(f"compressed in an unknown way: {codec}")
    if len(expanded) != size:
        raise RecordingError(f"{len(expanded)} bytes uncompressed instead of {size}")
    return expanded


def _inflate(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        expanded = stream.decompress(data, size + 1)  # a bomb stops here
    except zlib.error as error:
        raise RecordingError(f"not what zlib wrote: {error}") from None
    if not stream.eof and len(expanded) <= size:
        raise RecordingError("compressed data that ends early")
    return expanded


@functools.cache
def _zstd() -> _Zstd | None:
    """Return Zstandard's functions, from Python or from its library; None: neither is there."""
    try:
        from compression import zstd as module  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return _library()
    return _python(module)


def _python(module: Any) -> _Zstd:
    def expand_by_module(data: bytes, size: int) -> bytes:
        stream = module.ZstdDecompressor()
        try:
            expanded: bytes = stream.decompress(data, size + 1)
        except module.ZstdError as error:
            raise RecordingError(f"not what Zstandard wrote: {error}") from None
        return expanded

    return _Zstd(lambda data: module.compress(data, _LEVEL), expand_by_module)


def _library() -> _Zstd | None:
    """Return those of libzstd (its API is stable: zstd.h, ZSTDLIB_API, since 1.0)."""
    import ctypes

    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return None
    size_t, pointer = ctypes.c_size_t, ctypes.c_void_p
    library.ZSTD_compressBound.argtypes = (size_t,)
    library.ZSTD_compress.argtypes = (pointer, size_t, ctypes.c_char_p, size_t, ctypes.c_int)
    library.ZSTD_decompress.argtypes = (pointer, size_t, ctypes.c_char_p, size_t)
    library.ZSTD_isError.argtypes = (size_t,)
    for name in ("ZSTD_compressBound", "ZSTD_compress", "ZSTD_decompress"):
        getattr(library, name).restype = size_t
    return _Zstd(
        functools.partial(_compress_by, library),
        functools.partial(_expand_by, library),
    )


def _compress_by(library: ctypes.CDLL, data: bytes) -> bytes:
    import ctypes

    room = ctypes.create_string_buffer(library.ZSTD_compressBound(len(data)))
    size = library.ZSTD_compress(room, len(room), data, len(data), _LEVEL)
    if library.ZSTD_isError(size):
        raise MemoryError("Zstandard has no memory for its context")  # the only cause there is left
    return ctypes.string_at(room, size)


def _expand_by(library: ctypes.CDLL, data: bytes, size: int) -> bytes:
    import ctypes

    room = ctypes.create_string_buffer(size)
    written = library.ZSTD_decompress(room, size, data, len(data))
    if library.ZSTD_isError(written):  # also if it would be longer
        raise RecordingError("not what Zstandard wrote")
    return ctypes.string_at(room, written)

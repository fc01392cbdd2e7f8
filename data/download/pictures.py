"""Pictures that a server has one by one, for servers that give no parts of a zip: a weaker proof than the zip's."""

from __future__ import annotations

import io
from collections.abc import Callable
from urllib.parse import quote

from data.base.files import PICTURE_BYTES
from data.base.picture_limits import FORMATS, MAX_PIXELS
from data.download.attempts import Attempts, Pace
from data.download.line import Line, check_busy, check_served
from data.download.lines import Lines
from data.download.responses import Hitch, Refused, chunks, content_length, not_the_file
from data.download.resume import CHUNK


class PictureServer:
    """Fetches single pictures below an address; threads may do so at the same time. `arrived` counts bytes.

    Each has as many bytes as the server announces, and decodes. Refused where it does not come so.
    """

    def __init__(self, base: str, lines: Lines, tell: Callable[[str], None]) -> None:
        self.base, self.lines, self._tell = base, lines, tell
        self.arrived = self._answered = 0

    def fetch(self, name: str) -> bytes:
        """The bytes of the picture of this name."""
        attempts = Attempts(self.lines.patience, self._tell, self.lines.sleep)

        def attempt() -> bytes:
            answered = self._answered
            try:
                with self.lines.free() as line:
                    return self._ask(line, name)
            finally:
                if self._answered > answered:
                    attempts.fruitless = 0

        try:
            content = attempts.until_done(attempt)
        except Refused as error:
            raise Refused(f"{name}: {error}") from error
        self._answered += 1
        return content

    def _ask(self, line: Line, name: str) -> bytes:
        content = bytearray()
        with line.get(self.base.rstrip("/") + "/" + quote(name), {}) as response:
            check_busy(response, self.lines.patience)
            check_served(response)
            length = content_length(response.headers)
            if length is None or length > PICTURE_BYTES:
                raise Refused(f"announces {length or 'no'} bytes; expected up to {PICTURE_BYTES:,}")
            pace = Pace(line.patience, 0)
            for chunk in chunks(response.raw, CHUNK):
                line.watch.renew()
                content += chunk
                self.arrived += len(chunk)
                pace.check(len(content))
            line.check_time()
        if len(content) != length:
            raise Hitch(f"{len(content):,} bytes came of the {length:,} announced")
        if why := not_the_file(name, response.headers, bytes(content[:1024])) or undecodable(bytes(content)):
            raise Hitch(why)
        return bytes(content)


def undecodable(content: bytes) -> str:
    """Why these bytes are not a picture; "" where they are one, to its end."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return f"has {picture.width:,} x {picture.height:,} pixels"
            picture.load()
    except Exception as error:  # decoders of damaged files raise anything
        return f"is not a picture: {error}"
    return ""

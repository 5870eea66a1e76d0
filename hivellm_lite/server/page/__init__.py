"""The page at ``/``: ask experts from a browser.

One HTML file holds its script and style. The policy that is sent with it lets nothing else run:
it names the digests of both, and no address outside this server.

Private: may change in any release.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["page"]


async def page(_request: Request) -> Response:
    """``GET /``."""
    body, headers = _page()
    return Response(body, media_type="text/html", headers=headers)


@cache
def _page() -> tuple[bytes, dict[str, str]]:
    """The file, and the headers that go with it."""
    text = resources.files(__package__).joinpath("index.html").read_text("utf-8")
    policy = "; ".join(
        [
            "default-src 'self'",
            f"script-src {_digest(text, 'script')}",
            f"style-src {_digest(text, 'style')}",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return text.encode(), headers


def _digest(text: str, element: str) -> str:
    """What a Content-Security-Policy calls the one script or style of the page."""
    (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    digest = hashlib.sha256(inline.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

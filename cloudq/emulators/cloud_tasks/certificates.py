"""The HTTP server where a worker finds the certificates that it checks tokens with."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from cloudq.emulators.browsers import why_refused
from cloudq.emulators.cloud_tasks.ports import check_free, place, taken
from cloudq.emulators.cloud_tasks.signing import Signer

# Google's own paths on www.googleapis.com.
CERTIFICATES: Final = "/oauth2/v1/certs"
KEY_SET: Final = "/oauth2/v3/certs"
DISCOVERY: Final = "/.well-known/openid-configuration"
# As Google's answers may be kept.
_CACHE: Final = {"Cache-Control": "public, max-age=3600, must-revalidate"}


class CertificateServer:
    """Serves a signer's certificates.

    Args:
        signer: Whose.
        host: The address to listen at.
        port: The port to listen at; 0 for any.
        issuer: What the discovery document names.
    """

    def __init__(self, signer: Signer, host: str, port: int, issuer: str) -> None:
        self._signer = signer
        self._host = host
        self._port = port
        self._issuer = issuer
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        """Begins to listen.

        Raises:
            PortTaken: Somebody else listens there.
        """
        check_free(self._host, self._port)
        application = web.Application(middlewares=[self._refuse_pages])
        application.router.add_get(CERTIFICATES, self._certificates)
        application.router.add_get(KEY_SET, self._key_set)
        application.router.add_get(DISCOVERY, self._discovery)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            raise taken(self._host, self._port, error) from error
        port = self._runner.addresses[0][1]
        self.address = f"http://{place(self._host, port)}"

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _refuse_pages(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers no page in a browser."""
        refused = why_refused({name.lower(): value for name, value in request.headers.items()}, self._host)
        if refused is not None:
            raise web.HTTPForbidden(text=refused)
        return await handler(request)

    async def _certificates(self, _request: web.Request) -> web.Response:
        return web.json_response(self._signer.certificates(), headers=_CACHE)

    async def _key_set(self, _request: web.Request) -> web.Response:
        return web.json_response(self._signer.key_set(), headers=_CACHE)

    async def _discovery(self, _request: web.Request) -> web.Response:
        document = {
            "issuer": self._issuer,
            "jwks_uri": f"{self.address}{KEY_SET}",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return web.json_response(document, headers=_CACHE)

"""What botocore decides about a client's calls, asked once: all of a request but its moment, body and signature.

Region, partition, FIPS, dual-stack and an endpoint of one's own are parameters of the client, not of a call, so its
rules give one answer. Private parts of botocore's clients are used here (`_convert_to_request_dict`, `_request_signer`,
`_resolve_endpoint_ruleset`), and for their connections (`line`). Where a newer botocore has moved them a client is
`Unusual`, and makes its calls itself.
"""

from __future__ import annotations

from typing import Any, Final

from cloudq.aws_wire.signing import Form, check_value

# Stands for the moment in what botocore signs. No header has it.
_MOMENT: Final = "\0"
_VERSION: Final = "v4"


class Unusual(Exception):
    """Why the calls of a client have to be made by itself."""


class Operation:
    """The requests for one operation of a client's service, whatever their parameters are.

    Args:
        client: The botocore client.
        name: The operation's name in the service's API.

    Attributes:
        name: The same.
        model: Botocore's model of it.
        url: Where the requests go.
        host: The host that they name.
        head: The headers that never change, each with its line end.
        region: The region by which they are signed.
        service: The name of the service by which they are signed.

    Raises:
        Unusual: They aren't POSTs that are signed in the usual way.
    """

    def __init__(self, client: Any, name: str) -> None:
        signer = client._request_signer
        self.name = name
        self.model = client.meta.service_model.operation_model(name)
        context: dict[str, Any] = {
            "client_region": client.meta.region_name,
            "client_config": client.meta.config,
            "auth_type": self.model.resolved_auth_type,
        }
        url, headers, _ = client._resolve_endpoint_ruleset(self.model, {}, context)
        if {signer.signature_version, context["auth_type"] or _VERSION} != {_VERSION}:
            raise Unusual(f"{name} isn't signed by version 4 of AWS's signatures")
        asked = client._convert_to_request_dict({}, self.model, url, context, headers)
        if asked["method"] != "POST":
            raise Unusual(f"{name} is no POST")
        signing = context.get("signing", {})
        self.region: str = signing.get("region") or signer.region_name
        self.service: str = signing.get("signing_name") or signer.signing_name
        self.url: str = asked["url"]
        self._asked: dict[str, Any] = asked
        self._form = ("", self._form_by(""))
        sent = {"Host": self.host, "Accept-Encoding": "identity", **asked["headers"]}
        for key, value in sent.items():
            check_value(key, value)
        self.head = "".join(f"{key}: {value}\r\n" for key, value in sent.items())

    def form(self, token: str | None) -> Form:
        """What is signed of each request, by a session's token or by none.

        Raises:
            ValueError: The token can't be in a header.
        """
        known, form = self._form
        if (token or "") != known:
            form = self._form_by(token or "")
            self._form = token or "", form  # as a whole, since several threads may do so
        return form

    def _form_by(self, token: str) -> Form:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import create_request_object

        check_value("the session token", token)
        # A request of its own: of several threads that see new credentials, each makes the form.
        auth, request = SigV4Auth(None, self.service, self.region), create_request_object(self._asked)
        request.headers["X-Amz-Date"] = _MOMENT
        if token:
            request.headers["X-Amz-Security-Token"] = token
        signed = auth.headers_to_sign(request)
        self.host: str = signed["host"]
        before, after = auth.canonical_request(request).split(_MOMENT)
        return Form(
            before=before,
            after=after.rpartition("\n")[0] + "\n",  # without the digest of this request's body
            names=auth.signed_headers(signed),
            token=f"X-Amz-Security-Token: {token}\r\n" if token else "",
        )

"""Tokens, and the certificates that they are checked with."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import timedelta

import jwt
import pytest
from cryptography import x509
from google.auth import jwt as google_jwt

from cloudq.emulators.cloud_tasks import Settings
from tests.unit.emulators.cloud_tasks.bench import bench

ACCOUNT = "pusher@shop.iam.gserviceaccount.com"


def fetch(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - it's http, on this machine
        found: dict[str, object] = json.load(answer)
    return found


def pushed_token(lab, **token: str) -> str:
    lab.create(request={"oidc_token": {"service_account_email": ACCOUNT, **token}})
    lab.settle()
    kind, _, value = lab.worker.headers()["authorization"].partition(" ")
    assert kind == "Bearer"
    return str(value)


def checked(lab, token: str, audience: str) -> dict[str, object]:
    """The token's claims, its signature checked with the key set, as any OIDC library does it."""
    keys = {key["kid"]: key for key in fetch(lab.emulator.key_set_url)["keys"]}  # type: ignore[attr-defined]
    key = jwt.PyJWK(keys[jwt.get_unverified_header(token)["kid"]])
    options = {"verify_exp": False, "verify_iat": False}  # the emulator's clock isn't this machine's
    claims: dict[str, object] = jwt.decode(token, key, algorithms=["RS256"], audience=audience, options=options)
    return claims


def test_a_token_is_google_like(lab):
    """HttpRequest.oidc_token: "an OIDC token will be generated and attached as an Authorization header in the HTTP
    request"; OidcToken.audience: "If not specified, the URI specified in target will be used"."""
    claims = checked(lab, pushed_token(lab), lab.worker.url)
    issued = int(lab.clock.now().timestamp())
    assert (claims["iss"], claims["email"], claims["email_verified"]) == ("https://accounts.google.com", ACCOUNT, True)
    assert (claims["iat"], claims["exp"], claims["sub"]) == (issued, issued + 3600, claims["azp"])


def test_the_audience_is_the_tasks(lab):
    """OidcToken.audience: "Audience to be used when generating OIDC token"."""
    token = pushed_token(lab, audience="https://worker.example")
    assert checked(lab, token, "https://worker.example")["aud"] == "https://worker.example"
    with pytest.raises(jwt.InvalidAudienceError):
        checked(lab, token, lab.worker.url)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_a_page_in_a_browser_is_refused(lab, headers):
    """The emulator answers programs: 403 for another page, and for a name that was rebound."""
    asked = urllib.request.Request(lab.emulator.certificates_url, headers=headers)  # noqa: S310 - its own address
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=60)  # noqa: S310 - as above
    with caught.value:
        assert caught.value.code == 403


def test_certificates_are_served_in_googles_form(lab):
    """Google's https://www.googleapis.com/oauth2/v1/certs has X.509 certificates in PEM by key id: google-auth checks a
    token with them."""
    certificates = fetch(lab.emulator.certificates_url)
    assert lab.emulator.certificates_url.endswith("/oauth2/v1/certs")
    assert lab.emulator.key_set_url.endswith("/oauth2/v3/certs")
    for text in certificates.values():
        x509.load_pem_x509_certificate(str(text).encode())
    past_century = 2**31
    claims = google_jwt.decode(pushed_token(lab), certificates, clock_skew_in_seconds=past_century)
    assert claims["email"] == ACCOUNT
    document = fetch(f"{lab.emulator.certs_address}/.well-known/openid-configuration")
    assert document["jwks_uri"] == lab.emulator.key_set_url


def test_a_token_is_used_again_for_a_minute(lab):
    """A signature is dear: pushes of one minute for one audience carry one token, later ones another."""
    first = pushed_token(lab)
    assert pushed_token(lab) == first
    assert pushed_token(lab, audience="x") != first
    lab.emulator.advance(timedelta(minutes=1))
    later = pushed_token(lab)
    assert later != first
    assert checked(lab, later, lab.worker.url)["iat"] == int(lab.clock.now().timestamp())


def test_a_users_own_authorization_gives_way_to_a_token(lab):
    """OidcToken: the generated token is the Authorization header; without one the task's own header is sent."""
    lab.create(request={"headers": {"authorization": "Basic x"}})
    lab.settle()
    assert lab.worker.headers()["authorization"] == "Basic x"
    lab.create(request={"headers": {"authorization": "Basic x"}, "oauth_token": {"service_account_email": ACCOUNT}})
    lab.settle()
    assert lab.worker.headers()["authorization"] == "Bearer ya29.emulated-access-token"


def test_the_issuer_can_be_set():
    """`Settings.issuer` is the tokens' `iss`."""
    with bench(Settings(issuer="https://issuer.example")) as lab:
        lab.queue()
        assert checked(lab, pushed_token(lab), lab.worker.url)["iss"] == "https://issuer.example"

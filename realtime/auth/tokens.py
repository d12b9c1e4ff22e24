"""JSON Web Tokens, checked strictly. PyJWT does the cryptography."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jwt

from . import AuthError

LEEWAY_S = 30
OWN = "HS256"
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidSignatureError, "the token's signature is invalid"),
)
# Beside PyJWT's own: what damaged text, deep JSON and numbers without an end raise.
_FAULTS = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


def header_of(token: str) -> dict[str, Any]:
    """The header, not verified: it only says how the token claims to be signed.
    Raises `AuthError`."""
    try:
        return jwt.get_unverified_header(token)
    except _FAULTS as error:
        raise _refused(error) from None


def verified(token: str, key: str | jwt.PyJWK, algorithm: str, *, audience: str) -> dict[str, Any]:
    """The claims of a token that was signed with exactly this key and algorithm and is good
    now; `sub` is a text that is not empty, `exp` an integer. Raises `AuthError`."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp"]},
        )
        claims["exp"] = int(claims["exp"])
    except _FAULTS as error:
        raise _refused(error) from None
    if not claims["sub"]:
        raise AuthError("the token has no user (sub)")
    return claims


def signed(claims: dict[str, Any], secrets: Sequence[str]) -> str:
    """A token of this server's own, with the newest of its secrets, the first."""
    return jwt.encode(claims, secrets[0], algorithm=OWN)


def own(token: str, secrets: Sequence[str], *, audience: str) -> dict[str, Any]:
    """As `verified`, of a token that was signed with one of these secrets."""
    refused: AuthError | None = None
    for secret in secrets:
        try:
            return verified(token, secret, OWN, audience=audience)
        except AuthError as error:
            refused = refused or error
    assert refused
    raise refused


def _refused(error: Exception) -> AuthError:
    """In our own words: a library's message may quote the token."""
    if isinstance(error, jwt.MissingRequiredClaimError):
        return AuthError(f"the token has no {error.claim}")
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return AuthError(reason)
    return AuthError("the token is malformed")

"""Faust's `broker_credentials`."""

import ssl

from faust import SASLCredentials, SSLCredentials


def sasl_credentials(
    mechanism: str | None, username: str | None, password: str | None, context: ssl.SSLContext | None
) -> SASLCredentials:
    """Return a login; with a TLS context the protocol is SASL_SSL, and the context holds our own certificate, too."""
    return SASLCredentials(username=username, password=password, ssl_context=context, mechanism=mechanism)


def tls_credentials(context: ssl.SSLContext) -> SSLCredentials:
    """Return TLS without a login."""
    return SSLCredentials(context)

"""Mutual TLS and tokens, from the same folder, files and variables as the commands of demorl; see docs/security.md."""

import contextlib
import os
import pathlib
import threading

import grpc

CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
LOOPBACK = ("localhost:", "127.", "[::1]:", "unix:")


class BadSecurity(Exception):
    """Files that are missing or do not go together."""


class _TokenPlugin(grpc.AuthMetadataPlugin):
    """Reads the token anew for each call."""

    def __init__(self, file):
        self._file = file

    def __call__(self, context, callback):
        try:
            callback((("authorization", f"Bearer {self._file.read_text().strip()}"),), None)
        except OSError as error:
            callback((), error)


class Security:
    """Who we are and whom we believe; plain text without a folder."""

    def __init__(self, tls_dir=None, token_file=None, trust_domain="demorl.local"):
        self._folder = pathlib.Path(tls_dir) if tls_dir else None
        self._token_file = pathlib.Path(token_file) if token_file else None
        self._trust_domain = trust_domain
        if self._token_file and not self._folder:
            raise BadSecurity("a token is shown over TLS alone; want --tls-dir too")
        if self._folder:
            self.has_identity = any((self._folder / name).exists() for name in ("tls.crt", "tls.key"))
            if not self.has_identity and not self._token_file:
                raise BadSecurity(f"{self._folder} holds no tls.crt and tls.key, and there is no --token-file; want one of both")
            self.files()
            if self._token_file:
                self._read(self._token_file)

    @property
    def uses_tls(self):
        return self._folder is not None

    def files(self):
        """(ca.crt, tls.key, tls.crt) as they are now; the last two are None for a client that shows a token."""
        authorities = self._read(self._folder / "ca.crt")
        if not self.has_identity:
            return authorities, None, None
        return authorities, self._read(self._folder / "tls.key"), self._read(self._folder / "tls.crt")

    @staticmethod
    def _read(file):
        try:
            return file.read_bytes()
        except OSError as error:
            raise BadSecurity(f"{file}: {error.strerror}") from None

    def channel_credentials(self, files):
        credentials = grpc.ssl_channel_credentials(*files)
        if self._token_file:
            token = grpc.metadata_call_credentials(_TokenPlugin(self._token_file))
            credentials = grpc.composite_channel_credentials(credentials, token)
        return credentials

    def add_port(self, server, address):
        """Listens, with the certificate of whoever calls demanded; the port, 0 where it cannot."""
        if not self.uses_tls or not self.has_identity:
            if self.uses_tls and not address.startswith(LOOPBACK):
                raise BadSecurity(f"cannot listen on {address} in plain text without tls.crt and tls.key; want loopback")
            return server.add_insecure_port(address)

        def configuration():
            authorities, key, chain = self.files()
            return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)

        last = [self.files()]

        def changed():
            with contextlib.suppress(BadSecurity):  # half replaced: those from before hold
                if self.files() != last[0]:
                    last[0] = self.files()
                    return configuration()
            return None

        return server.add_secure_port(
            address, grpc.dynamic_ssl_server_credentials(configuration(), changed, require_client_authentication=True)
        )

    def check_caller(self, context, roles):
        """Aborts a call over TLS unless the caller's certificate names one of `roles`."""
        if not self.uses_tls or not self.has_identity:
            return
        prefix = f"spiffe://{self._trust_domain}/"
        names = context.auth_context().get("x509_subject_alternative_name", [])
        uris = [name.decode() for name in names if b"://" in name]
        if len(uris) != 1 or not uris[0].startswith(prefix):
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED, f"the certificate names no role: want one URI {prefix}<role>, found {uris}"
            )
        peer = uris[0].removeprefix(prefix)
        if peer.split("/")[0] not in roles:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{peer} may not call this; allowed: {', '.join(roles)}")

    def explain(self, error):
        """What gRPC says of a failed call, and what it does not: a server that refuses a certificate only closes."""
        details = error.details() or ""
        if self.uses_tls and error.code() == grpc.StatusCode.UNAVAILABLE and "Socket closed" in details:
            shown = self._folder / "tls.crt" if self.has_identity else "a token and no certificate"
            return f"{details}; the server may have refused us after the TLS handshake; we show {shown}; its log says why"
        return details


class Connection:
    """A channel that is made anew where certificates have changed. Thread-safe."""

    def __init__(self, address, security):
        self._address, self.security = address, security
        self._lock = threading.Lock()
        self._files, self._channel = None, None

    def channel(self):
        """For the next stream; streams that are open go on over the channel they have."""
        with self._lock:
            if not self.security.uses_tls:
                self._channel = self._channel or grpc.insecure_channel(self._address, options=CHANNEL_OPTIONS)
                return self._channel
            with contextlib.suppress(BadSecurity):  # half replaced: those from before hold
                files = self.security.files()
                if files != self._files:
                    credentials = self.security.channel_credentials(files)
                    self._channel = grpc.secure_channel(self._address, credentials, options=CHANNEL_OPTIONS)
                    self._files = files
            return self._channel

    def close(self):
        with self._lock:
            if self._channel is not None:
                self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def from_options(options):
    """--tls-dir and --token-file, or else DEMORL_TLS_DIR and DEMORL_TOKEN_FILE."""
    return Security(
        options.tls_dir or os.environ.get("DEMORL_TLS_DIR"),
        options.token_file or os.environ.get("DEMORL_TOKEN_FILE"),
        options.trust_domain,
    )

"""Certificates as the chart's cert-manager objects ask for them, made by openssl."""

import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder):
    folder.mkdir(parents=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-keyout", folder / "ca.key", "-out", folder / "ca.crt")


def issue(authority, folder, uri):
    """tls.crt, tls.key and ca.crt in `folder`, for a service that listens on loopback."""
    folder.mkdir(parents=True)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
            "-keyout", folder / "tls.key", "-out", folder / "request.pem")
    (folder / "extensions").write_text(f"subjectAltName = critical, URI:{uri}, IP:127.0.0.1\nkeyUsage = digitalSignature\n"
                                       "extendedKeyUsage = serverAuth, clientAuth\n")
    openssl("x509", "-req", "-in", folder / "request.pem", "-CA", authority / "ca.crt", "-CAkey", authority / "ca.key",
            "-CAcreateserial", "-days", "1", "-extfile", folder / "extensions", "-out", folder / "tls.crt")
    (folder / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())

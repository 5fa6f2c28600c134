"""Certificates of private authorities, made with openssl."""

import datetime

from .wait import run


def make_ca(folder, name):
    """FOLDER/NAME.pem, with its key beside it."""
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"])
    return f"{folder}/{name}.pem"


def make_certificate(folder, ca, name, san, is_expired=False):
    """(certificate, key) for CN=NAME. `ca` None: signed by itself."""
    key, request, out = (f"{folder}/{name}.{end}" for end in ("key", "csr", "pem"))
    subject = ["-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key]
    if ca is None:
        run(["openssl", "req", "-x509", *subject, "-days", "2", "-addext", f"subjectAltName={san}",
             "-out", out])
        return out, key
    run(["openssl", "req", *subject, "-out", request])
    with open(f"{folder}/{name}.ext", "w", encoding="ascii") as ext:
        ext.write(f"subjectAltName={san}\n")
    if not is_expired:
        run(["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca[:-3] + "key",
             "-CAcreateserial", "-days", "2", "-extfile", f"{folder}/{name}.ext", "-out", out])
        return out, key
    # "openssl x509" cannot say when it begins; "openssl ca" can.
    with open(f"{folder}/{name}.cnf", "w", encoding="ascii") as conf:
        conf.write(f"""[ca]
default_ca = here
[here]
database = {folder}/{name}.index
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
""")
    with open(f"{folder}/{name}.index", "w", encoding="ascii"):
        pass
    today = datetime.datetime.now(datetime.timezone.utc)
    dates = [(today - datetime.timedelta(days=n)).strftime("%Y%m%d%H%M%SZ") for n in (3, 1)]
    run(["openssl", "ca", "-batch", "-notext", "-config", f"{folder}/{name}.cnf", "-cert", ca,
         "-keyfile", ca[:-3] + "key", "-in", request, "-extfile", f"{folder}/{name}.ext",
         "-startdate", dates[0], "-enddate", dates[1], "-out", out])
    return out, key

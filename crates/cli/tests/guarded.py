#!/usr/bin/env python3
"""The guards of `medparse serve`, seen from outside: an issuer of tokens, certificates, rates, the audit log.

    crates/cli/tests/guarded.py target/release/medparse

Starts the program itself beside an issuer of OpenID Connect that stands on this machine, with certificates and keys that
`openssl` makes, and says what each caller got; ends with status 1 at the first that got something else. Needs Python and
`openssl`, and about a minute and a half, most of which is waiting: unknown keys are looked up every 30 seconds.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PICTURE = Path(__file__).resolve().parents[3] / "examples" / "nuclei.png"
PHRASE = "nuclei"
AUDIENCE = "api://medparse"
LOOKUP_SECONDS = 31
"""Just over the least time between two look-ups of an unknown key."""


class Signer:
    """An RSA key pair, its public half as a JSON Web Key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.file = name, folder / f"{name}.key"
        openssl("genrsa", "-out", self.file, "2048")
        modulus = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
        self.public = {"kty": "RSA", "use": "sig", "kid": name, "n": url64(bytes.fromhex(modulus)), "e": "AQAB"}

    def sign(self, claims: dict[str, Any], name: str | None = None) -> str:
        """A token of these claims, said to be signed by the key `name`."""
        text = f"{part({'alg': 'RS256', 'kid': name or self.name})}.{part(claims)}"
        signature = openssl("dgst", "-sha256", "-sign", self.file, stdin=text.encode())
        return f"{text}.{url64(signature)}"


class Issuer:
    """An issuer on a port of its own, that can go away and come back."""

    def __init__(self, *signers: Signer) -> None:
        self.signers, self.port = list(signers), 0
        self.open()
        self.url = f"http://127.0.0.1:{self.port}/tenant"

    def open(self) -> None:
        """Answers from now on."""
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {
                    "/tenant/.well-known/openid-configuration": {
                        "issuer": issuer.url,
                        "jwks_uri": f"{issuer.url}/keys",
                    },
                    "/tenant/keys": {"keys": [signer.public for signer in issuer.signers]},
                }[self.path]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.HTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Refuses connections from now on."""
        self.server.shutdown()
        self.server.server_close()

    def claims(self, **changed: object) -> dict[str, Any]:
        """The claims of a good token, some of them changed; `None` leaves one out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "oid": "0000-1111", "nbf": now, "exp": now + 600}
        claims = {**good, "roles": ["medparse.score"], **changed}
        return {name: value for name, value in claims.items() if value is not None}


class Server:
    """A running `medparse serve`."""

    def __init__(self, program: Path, folder: Path, *options: object, trust: ssl.SSLContext | None = None) -> None:
        self.log, self.trust = folder / "log", trust
        self.environment = {**os.environ, "MEDPARSE_STATE": str(folder / "state"), "NO_COLOR": "1"}
        self.program = program
        words = [program, "serve", "--port", "0", "--auth", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=self.environment)
        self.url = ""
        deadline = time.monotonic() + 60
        while not self.url and time.monotonic() < deadline:
            found = re.search(r"^scoring URI\s+(\S+)/score", self.log.read_text(), re.MULTILINE)
            self.url = found[1] if found else ""
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        if not self.url:
            raise SystemExit(f"the server did not start:\n{self.log.read_text()}")

    def said(self, *words: str) -> str:
        """What another command of the program prints on the same state."""
        command = [str(self.program), *words]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def score(self, key: str | None, trust: ssl.SSLContext | None = None) -> tuple[int | str, str, dict[str, str]]:
        """Status, sentence and headers of a question, or why there was no answer at all."""
        picture = base64.b64encode(PICTURE.read_bytes()).decode()
        rows = {"columns": ["image", "text"], "index": [0], "data": [[picture, PHRASE]]}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(f"{self.url}/score", json.dumps({"input_data": rows}).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=120, context=trust or self.trust) as reply:
                return reply.status, "", dict(reply.headers)
        except urllib.error.HTTPError as refusal:
            return refusal.code, sentence(refusal.read()), dict(refusal.headers)
        except (urllib.error.URLError, OSError) as error:
            return "no answer", str(getattr(error, "reason", error)), {}

    def wait(self, trust: ssl.SSLContext | None = None) -> None:
        """Until the model is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/ready", timeout=5, context=trust or self.trust).close()
                return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"the server is not ready:\n{self.log.read_text()}")


@contextmanager
def serving(program: Path, folder: Path, *options: object, trust: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server in a folder of its own, ended as an operator ends it."""
    folder.mkdir()
    server = Server(program, folder, *options, trust=trust)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        status = server.process.wait(timeout=60)
    expect("the server, told to end", status, wanted=0)


def tokens(program: Path, folder: Path) -> None:
    """Who gets in by a token of an issuer, and who does not."""
    old, new, stranger = (Signer(folder, name) for name in ("old", "new", "stranger"))
    issuer = Issuer(old)
    audit = folder / "audit" / "audit.jsonl"
    audit.parent.mkdir()
    options = ("--oidc-issuer", issuer.url, "--oidc-audience", AUDIENCE, "--audit", audit)
    with serving(program, folder / "tokens", *options) as server:
        server.said("endpoint", "update", "medparse", "--auth-mode", "aad_token")
        now = int(time.time())
        unsigned = f"{part({'alg': 'none', 'kid': 'old'})}.{part(issuer.claims())}."
        for who, token, status in (
            ("a good token", old.sign(issuer.claims()), 200),
            ("an expired one", old.sign(issuer.claims(exp=now - 90)), 401),
            ("one without an end", old.sign(issuer.claims(exp=None)), 401),
            ("one not valid yet", old.sign(issuer.claims(nbf=now + 300)), 401),
            ("one for another application", old.sign(issuer.claims(aud="api://other")), 401),
            ("one of another issuer", old.sign(issuer.claims(iss="https://evil.example")), 401),
            ("one by a stranger's key with our key's name", stranger.sign(issuer.claims(), "old"), 401),
            ("one by a key nobody names", stranger.sign(issuer.claims()), 401),
            ("one with the algorithm none", unsigned, 401),
            ("one without a role", old.sign(issuer.claims(roles=[])), 403),
            ("no token", None, 401),
        ):
            expect(who, *server.score(token)[:2], wanted=status)
        issuer.signers = [new]
        last = time.monotonic()
        while (asked := server.score(new.sign(issuer.claims())))[0] != 200:
            if time.monotonic() > last + 2 * LOOKUP_SECONDS:
                raise SystemExit(f"a new key is not followed: {asked}")
            time.sleep(1)
        print(f"the issuer changed its key: followed after {time.monotonic() - last:.0f} s", flush=True)
        expect("a token by the key that was withdrawn", *server.score(old.sign(issuer.claims()))[:2], wanted=401)
        issuer.close()
        expect("a good token while the issuer is away", *server.score(new.sign(issuer.claims()))[:2], wanted=200)
        expect("an unknown key meanwhile", *server.score(stranger.sign(issuer.claims()))[:2], wanted=401)
    with serving(program, folder / "alone", *options[:4]) as server:
        server.said("endpoint", "update", "medparse", "--auth-mode", "aad_token")
        expect("a server that began without its issuer", *server.score(new.sign(issuer.claims()))[:2], wanted=401)
        issuer.open()
        time.sleep(LOOKUP_SECONDS)
        expect("the same once the issuer is back", *server.score(new.sign(issuer.claims()))[:2], wanted=200)
    issuer.close()
    audited(audit)


def audited(audit: Path) -> None:
    """What the audit log holds, and that no content is in it."""
    text = audit.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    asked = [line for line in lines if line["path"] == "/score"]
    expect("lines of /score in the audit log", len(asked) >= 14, wanted=True)
    answered = next(line for line in asked if line["status"] == 200)
    expect("who was answered first", answered["who"], wanted="issuer:0000-1111")
    expect("what it asked: rows and prompts", (answered["rows"], answered["prompts"]), wanted=(1, 1))
    refused = next(line for line in asked if line["status"] == 401)
    expect("who was refused first", (refused["who"], refused["code"]), wanted=("nobody", "Unauthorized"))
    content = [word for word in (PHRASE, PICTURE.name, "iVBOR", "eyJ", "Bearer") if word in text]
    expect("phrases, pictures, tokens or names in the audit log", content, wanted=[])
    expect("who may read it, in octal", oct(audit.stat().st_mode & 0o777), wanted="0o600")
    print(f"one line: {json.dumps(answered)}")


def certificates(program: Path, folder: Path) -> None:
    """HTTPS, and certificates of clients."""
    place = folder / "certificates"
    place.mkdir()
    for authority in ("house", "elsewhere"):
        name = f"/CN={authority}"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", name,
                "-keyout", place / f"{authority}-ca.key", "-out", place / f"{authority}-ca.pem")  # fmt: skip
    issue(place, "house", "server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    issue(place, "house", "ward", "extendedKeyUsage=clientAuth")
    issue(place, "elsewhere", "intruder", "extendedKeyUsage=clientAuth")

    def trust(client: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=place / "house-ca.pem")
        if client:
            context.load_cert_chain(place / f"{client}.pem", place / f"{client}.key")
        return context

    pair = ("--tls-cert", place / "server.pem", "--tls-key", place / "server.key")
    with serving(program, folder / "tls", *pair, trust=trust()) as server:
        key = server.said("keys", "create", "--scope", "score")
        expect("HTTPS", *server.score(key)[:2], wanted=200)
        public = server.score(key, ssl.create_default_context())
        expect("a client that does not trust the authority", *public[:2], wanted="no answer")
        plain = server.url.replace("https://", "http://")
        server.url, secure = plain, server.url
        expect("plain HTTP", server.score(key)[0] == 200, wanted=False)
        server.url = secure
        # A renewed certificate counts without a restart: one that the client does not trust shows that it does.
        issue(place, "elsewhere", "server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        time.sleep(4)
        expect("after the pair was replaced by another authority's", *server.score(key)[:2], wanted="no answer")
    issue(place, "house", "server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    both = (*pair, "--client-ca", place / "house-ca.pem")
    with serving(program, folder / "mtls", *both, trust=trust("ward")) as server:
        key = server.said("keys", "create", "--scope", "score")
        expect("a client with a certificate of the house", *server.score(key)[:2], wanted=200)
        expect("the same without a key", *server.score(None)[:2], wanted=401)
        expect("a client without a certificate", *server.score(key, trust())[:2], wanted="no answer")
        expect("one of another authority", *server.score(key, trust("intruder"))[:2], wanted="no answer")


def issue(place: Path, authority: str, name: str, extension: str) -> None:
    """A key and a certificate by one of the authorities."""
    request, words = place / f"{name}.csr", place / f"{name}.cnf"
    words.write_text(f"{extension}\n")
    key = place / f"{name}.key"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-days", "1", "-extfile", words, "-CA", place / f"{authority}-ca.pem",
            "-CAkey", place / f"{authority}-ca.key", "-CAcreateserial", "-out", place / f"{name}.pem")  # fmt: skip


def rates(program: Path, folder: Path) -> None:
    """Each key has a rate of its own."""
    with serving(program, folder / "rates", "--rate", "3/min") as server:
        greedy, other, quick = (
            server.said("keys", "create", "--scope", "score", *more) for more in ([], [], ["--rate", "100/s"])
        )
        replies = [server.score(greedy) for _ in range(5)]
        expect(
            "five requests of a key with three a minute",
            [reply[0] for reply in replies],
            wanted=[200, 200, 200, 429, 429],
        )
        wait = {name.lower(): value for name, value in replies[-1][2].items()}.get("retry-after")
        print(f"the last: {replies[-1][1]!r}, Retry-After: {wait}")
        expect("Retry-After, in seconds, within the minute", wait is not None and 1 <= int(wait) <= 60, wanted=True)
        expect("another key meanwhile", *server.score(other)[:2], wanted=200)
        expect("a key with a rate of its own", [server.score(quick)[0] for _ in range(5)], wanted=[200] * 5)
        nobody = [server.score(f"guess-{at}")[0] for at in range(5)]
        expect("five guesses without a valid key", nobody, wanted=[401, 401, 401, 429, 429])


def expect(what: str, got: object, said: object = "", *, wanted: object) -> None:
    """Says what was got, with the sentence that came along, and ends where it is something else than wanted."""
    print(f"{what}: {got}{f': {said}' if said else ''}", flush=True)
    if got != wanted:
        raise SystemExit(f"{what}: expected {wanted!r}, found {got!r} {said}")


def openssl(*words: object, stdin: bytes | None = None) -> bytes:
    """What `openssl` writes."""
    command = ["openssl", *(str(word) for word in words)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode().strip()}")
    return done.stdout


def sentence(body: bytes) -> str:
    """What a refusal says."""
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return str(found.get("message") or found.get("error") or found)


def part(value: dict[str, Any]) -> str:
    """A part of a token."""
    return url64(json.dumps(value).encode())


def url64(data: bytes) -> str:
    """Base64 as in tokens: with - and _, without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def main(program: Path) -> None:
    """All of it, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        for guard in (tokens, certificates, rates):
            print(f"== {guard.__name__}: {guard.__doc__}", flush=True)
            guard(program, Path(name))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).resolve())

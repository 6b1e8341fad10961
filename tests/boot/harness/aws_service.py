"""HTTPS server in the place of Secrets Manager and the Parameter Store, as a VPC endpoint has it.

Usage: python aws_service.py ADDRESS CERTIFICATE KEY ANSWER.  ANSWER is a JSON file that is read for
each request: `secret`, or the `error` to respond with.  Standard output gets a line for each one.

Sources: "GetSecretValue" and "GetParameter" in the API references; the protocol is AWS JSON 1.1.
"""

from __future__ import annotations

import json
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

#: Role credentials of the metadata service (agent/demo/instance_tree.py); the signature has them.
_SIGNED = (
    r"AWS4-HMAC-SHA256 Credential=ASIAIOSFODNN7EXAMPLE/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z]+)/aws4_request,"
)
_TOKEN = "example-session-token"


class Handler(BaseHTTPRequestHandler):
    """Responds to the two operations; `answer` is set by `main`."""

    answer = Path()

    def do_POST(self) -> None:
        """Check who asks for what, and respond."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers.get("X-Amz-Target", "")
        signed = re.match(_SIGNED, self.headers.get("Authorization", ""))
        answer = json.loads(self.answer.read_text())
        if signed is None or self.headers.get("X-Amz-Security-Token") != _TOKEN:
            status, body = 400, {"__type": "UnrecognizedClientException", "message": "not signed by the role"}
        elif answer.get("error"):
            status, body = 400, {"__type": answer["error"], "message": "not allowed: " + answer["secret"]}
        elif operation == "secretsmanager.GetSecretValue":
            status, body = 200, {"Name": request["SecretId"], "SecretString": answer["secret"]}
        elif operation == "AmazonSSM.GetParameter" and request.get("WithDecryption"):
            status, body = 200, {"Parameter": {"Name": request["Name"], "Value": answer["secret"]}}
        else:
            status, body = 400, {"__type": "InvalidAction", "message": operation}
        region = signed["region"] if signed else "-"
        proxied = "proxied" if self.headers.get("Via") or self.headers.get("X-Forwarded-For") else "direct"
        print(operation, region, proxied, status, flush=True)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Leave the log to `do_POST`."""


def main(address: str, certificate: str, key: str, answer: str) -> None:
    """Serve until the process is stopped."""
    Handler.answer = Path(answer)
    server = HTTPServer((address, 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

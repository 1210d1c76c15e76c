"""A server on this machine that misbehaves on purpose."""

import http.server
import re
import threading


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path, in ranges, or the next of ``faults``; keeps what it was asked: (path, headers)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files, self.faults, self.asked = {}, [], []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def starts(self) -> list[int]:
        """The first byte of each range that was asked for."""
        ranges = ({key.lower(): value for key, value in headers.items()}.get("range") for _, headers in self.asked)
        return [int(re.match(r"bytes=(\d+)-", value)[1]) for value in ranges if value]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        # torchvision looks for redirects first, and asks for the head alone by this.
        if self.headers.get("Method") == "HEAD":
            self.send_response(200)
            return self.end_headers()
        self.server.asked.append((self.path, dict(self.headers)))
        found = self.server.files.get(self.path)
        if self.server.faults and not self.path.startswith("/api/"):
            found = self.server.faults.pop(0)
        self.answer(404 if found is None else found)

    def answer(self, found: bytes | int | str | float | threading.Event) -> None:
        """Bytes are sent, an integer is a status, text an address elsewhere; a fraction cuts the answer short. With an
        event the server stays silent until it is set, but no longer than five seconds.
        """
        if isinstance(found, threading.Event):
            if found.wait(5):
                return None
            found = 404
        if isinstance(found, int):
            return self.send_error(found)
        if isinstance(found, str):
            self.send_response(302)
            self.send_header("Location", found)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        cut, body = (found, self.server.files[self.path]) if isinstance(found, float) else (1, found)
        start, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        part = body[int(start or 0) : int(end) + 1 if end else None]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(body)}")
        if "cursor" not in self.path and self.path.split("?")[0].endswith("/tree/main"):
            self.send_header("Link", f'<{self.server.url}{self.path}&cursor=2>; rel="next"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: int(cut * len(part))])

    def log_message(self, *_):
        pass

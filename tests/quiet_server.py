"""The server that tests fetch from: a client that hangs up is said to nobody, least of all to a later test's stderr."""

from http.server import ThreadingHTTPServer


class QuietServer(ThreadingHTTPServer):
    """socketserver prints a traceback for each connection that breaks; those that break here are meant to."""

    def handle_error(self, *_: object) -> None:
        pass

"""Serves Keystone's own WSGI application on loopback: PORT and APPLICATION come from the environment."""
import importlib
import os
import socketserver
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

sys.argv = sys.argv[:1]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


application = getattr(importlib.import_module("keystone.server.wsgi"), os.environ["APPLICATION"])()
turn = threading.Lock()


# One at a time, as a worker process of a real deployment does it: Keystone registers its policies during the first request,
# and a second one beside it finds none and is refused (403).
def one_at_a_time(environment, start_response):
    with turn:
        return list(application(environment, start_response))


server = make_server("127.0.0.1", 0, one_at_a_time, server_class=Server, handler_class=Quiet)
print("port", server.server_port, flush=True)
# It ends with the test that holds the other end of its standard input.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()

"""Serves Keystone's own WSGI application on loopback: PORT and APPLICATION come from the environment."""
import importlib
import os
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

sys.argv = sys.argv[:1]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


application = getattr(importlib.import_module("keystone.server.wsgi"), os.environ["APPLICATION"])()
server = make_server("127.0.0.1", 0, application, server_class=Server, handler_class=Quiet)
print("port", server.server_port, flush=True)
# It ends with the test that holds the other end of its standard input.
import threading

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()

"""nginx in its two parts here: the plain half of the stub, and the plain proxy that everything is compared with."""

import os
from pathlib import Path

from benchmarks import workload

BINARY = "/usr/sbin/nginx"

_FRAME = """\
{user}daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{servers}
}}
"""

_STUB = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /livez {{ return 200 'ok'; }}
    location / {{ return 200 '{answer}'; }}
  }}
"""

_PROXY = """\
  upstream plain {{ server 127.0.0.1:{plain_port}; keepalive 1024; keepalive_requests 1000000000; }}
  upstream streams {{ server 127.0.0.1:{stream_port}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location = /livez {{ return 200 'ok'; }}
    location /v1/ {{ proxy_pass http://plain; }}
    location /stream/ {{ proxy_pass http://streams/; proxy_buffering off; }}
  }}
"""


def stub_command(directory: Path, port: int) -> list[str]:
    """A server that answers every call on ``port`` with the same completion, without reading the body."""
    return _command(directory, _STUB.format(port=port, answer=workload.completion().decode()))


def proxy_command(directory: Path, port: int, *, plain_port: int, stream_port: int) -> list[str]:
    """A plain proxy with keep-alive to both halves of the stub: ``/v1/…`` and, unbuffered, ``/stream/v1/…``."""
    return _command(directory, _PROXY.format(port=port, plain_port=plain_port, stream_port=stream_port))


def _command(directory: Path, servers: str) -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    # As root nginx would hand the worker to an account that cannot read our directory.
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = directory / "nginx.conf"
    configuration.write_text(_FRAME.format(user=user, directory=directory, servers=servers))
    return [BINARY, "-c", str(configuration), "-e", str(directory / "error.log")]

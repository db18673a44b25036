"""ASGI entry of the gateway."""

from gateway.app import Gateway

application = Gateway()

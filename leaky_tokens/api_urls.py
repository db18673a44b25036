"""Every route of every service, whichever of them this process serves: what the API's description is made from."""

from leaky_tokens.services import routes_of

urlpatterns = [route for service in ("auth", "token") for route in routes_of(service)]

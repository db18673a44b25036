"""One protected route, as a service has them, for tests of what gets through to it."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.http.permissions import SIGNED_IN
from apps.core.http.views import ApiView, caller_of


class WhoAmI(ApiView):
    """Says who calls."""

    permissions = {"GET": SIGNED_IN}

    def get(self, request: Request) -> Response:
        """The caller's id."""
        return Response({"userId": str(caller_of(request).user_id)})


urlpatterns = [path("whoami", WhoAmI.as_view())]

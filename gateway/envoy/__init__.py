"""The same policy as an Envoy configuration: settings in, YAML out.

Rule: made from the typed settings, and each part says which key it comes from. What Envoy does otherwise is told, what
it cannot do stops the rendering (gaps.py).

    render.py         all of it, in order
    listeners.py      TLS towards browsers, and the filters that a request passes; routes.py, cors.py, headers.py
    tokens.py         jwt_authn; authorization.py: RBAC
    clusters.py       the backends; files.py: certificates, and how renewed ones are seen
    access_log.py, tracing.py, admin.py
    gaps.py           what is not, or not quite, the same
    node.py           dictionaries with comments, and their YAML
    validate.py       asks a real Envoy
"""

from gateway.envoy.files import Files
from gateway.envoy.render import Rendering, render

__all__ = ["Files", "Rendering", "render"]

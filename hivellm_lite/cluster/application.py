"""A fleet as an application of Ray Serve: fronts, and the replicas that they ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..server.admission import Admission
from ..server.options import ServerOptions
from .config import read_fleet
from .options import ClusterOptions, Fleet

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.applications import Starlette

__all__ = ["EXPERTS", "FRONT", "app", "create_application", "create_replicas"]

FRONT, EXPERTS = "Front", "Experts"
"""The names of the deployments."""

ATTEMPTS = 2
"""How often a replica is tried again that cannot load its experts: a download may fail once."""

BACKOFF = 0.05
"""Seconds between two looks for a free replica, at most. Serve's half a second leaves replicas idle
while requests wait.
"""

_LOGGING = {"enable_access_log": False}
"""A front or a proxy logs every request; another line for it would cost a millisecond."""


def app(args: Mapping[str, str]) -> Application:
    """For ``serve run hivellm_lite.cluster:app config=FILE.toml``.

    Raises ValueError for a configuration that cannot be used, also for one without keys: Serve's
    proxies may listen for everybody, whatever ``host`` is. Raises OSError for one that cannot be
    read.
    """
    if set(args) != {"config"}:
        raise ValueError("give the configuration, and nothing else: config=FILE.toml")
    fleet = read_fleet(args["config"])
    if not (fleet.server.keys or fleet.server.insecure):
        raise ValueError(
            f"{args['config']}: other machines may reach Serve's proxies, and no API key is set\n"
            "Give api-key-file, or say insecure = true."
        )
    return create_application(fleet)


def create_application(fleet: Fleet) -> Application:
    """Fronts and replicas, for ``serve.run``: clients reach the fronts through Serve's proxies."""
    from ray import serve

    options, names = fleet.server, frozenset(fleet.packages)

    def build() -> Starlette:
        from .gateway import create_gateway
        from .handles import ServeReplicas

        replicas = ServeReplicas(serve.get_deployment_handle(EXPERTS))
        admission = Admission(options.queue)
        return create_gateway(options, names, replicas, admission, behind_proxy=True)

    front = serve.deployment(
        serve.ingress(build)(),
        name=FRONT,
        num_replicas=fleet.cluster.fronts,
        max_ongoing_requests=2 * options.queue,  # the front itself refuses what is too much
        graceful_shutdown_timeout_s=options.drain,
        ray_actor_options={"num_cpus": 0},
        logging_config=_LOGGING,
    )
    bound: Application = front.bind(create_replicas(fleet))
    return bound


def create_replicas(fleet: Fleet) -> Application:
    """The replicas alone, for ``serve.run``. What is deployed under a name already is replaced one
    replica after the other, each when its answers have ended.
    """
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    from .replica import Replica

    options, cluster = fleet.server, fleet.cluster
    experts = serve.deployment(
        Replica,
        name=EXPERTS,
        max_ongoing_requests=cluster.ongoing,
        max_queued_requests=options.queue,
        max_constructor_retry_count=ATTEMPTS,
        graceful_shutdown_timeout_s=options.drain,
        ray_actor_options={"num_cpus": cluster.cpus, "num_gpus": cluster.gpus},
        request_router_config=RequestRouterConfig(max_backoff_s=BACKOFF),
        logging_config=_LOGGING,
        **_scaling(cluster),
    )
    bound: Application = experts.bind(dataclasses.replace(fleet, server=_inner(options)))
    return bound


def _scaling(cluster: ClusterOptions) -> dict[str, Any]:
    if cluster.max_replicas is None:
        return {"num_replicas": cluster.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": cluster.replicas,
            "max_replicas": cluster.max_replicas,
            "target_ongoing_requests": max(1, cluster.ongoing // 2),
            "upscale_delay_s": cluster.upscale_delay,
            "downscale_delay_s": cluster.downscale_delay,
        }
    }


def _inner(options: ServerOptions) -> ServerOptions:
    """The options of a server that listens nowhere: the front has checked the client. The keys
    stay with the front.
    """
    return dataclasses.replace(
        options,
        host="0.0.0.0",  # noqa: S104
        insecure=True,
        keys=(),
        allowed_hosts=(),
        cors=(),
    )

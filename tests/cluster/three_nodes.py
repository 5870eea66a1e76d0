"""A program: a Ray cluster of three local nodes, which a test commands by lines.

Its lines begin with ``>``: first the cluster's address. It reads ``kill NODE`` (the node ends at
once; prints ``killed``) and ``head`` (prints the node that cannot be killed), and ends at the end
of its input.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

OBJECTS = 80 << 20
"""Bytes of a node's object store: Ray's least is 75 MB."""


def main() -> None:
    head = {"num_cpus": 1, "object_store_memory": OBJECTS, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=OBJECTS) for _ in range(2)]
    print(">", cluster.address, flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "kill":
            (node,) = (one for one in nodes if one.node_id == words[0])
            cluster.remove_node(node, allow_graceful=False)
            print("> killed", flush=True)
        elif command == "head":
            print(">", cluster.head_node.node_id, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()

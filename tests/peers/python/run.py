"""Runs everything: the vectors, the proofs of an audit log, the way of a member against real daemons, and what must be refused."""

import pathlib
import sys

from chartmesh_peer import audit, negative, story, vectors
from chartmesh_peer.cases import Cases
from chartmesh_peer.daemons import Daemons
from chartmesh_peer.transport import Host


def main() -> int:
    binaries = pathlib.Path(sys.argv[1]).resolve()
    cases, hosts = Cases(), []

    def host_of(identity):
        hosts.append(Host(bytes(identity.node)))
        return hosts[-1]

    vectors.run(cases)
    audit.judge(cases, pathlib.Path(sys.argv[2]))
    with Daemons(binaries) as daemons:
        world = story.prepare(daemons)
        spoken = story.run(cases, world, host_of)
        negative.run(cases, world, spoken, host_of)
        for host in hosts:
            host.close()
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())

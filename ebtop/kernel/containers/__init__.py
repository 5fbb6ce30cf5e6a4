"""Which container, pod or service a cgroup belongs to, from paths and from the files of the runtimes on the node."""

from ebtop.kernel.containers.find import Found, container_cgroups, container_paths
from ebtop.kernel.containers.names import ContainerNames

__all__ = ["ContainerNames", "Found", "container_cgroups", "container_paths"]

"""The workload of `ebtop demo`: a handful of processes that show, gently, everything the probes can see.

    launch      what the commands use: starts it, says how to filter on it, ends it
    supervisor  a process of its own that makes the cgroup and the network, forks the workers, and cleans up
    jobs        which workers there are
    burning, spawning, chatting, struggling, ordering   what they do
    loss, network, pace, title, compiled      what they need for it

Nothing outlives the demo: the supervisor ends everything when the pipe from ebtop closes, however ebtop ended.
"""

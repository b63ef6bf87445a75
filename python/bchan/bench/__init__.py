"""The benchmarks: every figure counts messages that arrived, and is verified.

The rooms, in the order in which they build on each other:

- `settings`: what a case is asked to do, checked;
- `workload`: what the producers send;
- `arrivals`: what the consumer got, and whether that is right;
- `race`: threads that start together, and the clock;
- `throughput`, `queue_baseline`: one verified run over a channel, over `queue.Queue`;
- `case`, `summary`: repeated runs and their figures;
- `profiled`, `flame`, `profile`: the same runs under a profiler;
- `machine`, `report`, `commands`: where it ran, how it is shown, how it is asked for.
"""

"""The benchmarks: every figure counts messages that arrived, and is verified.

The rooms, in the order in which they build on each other:

- `sections`, `summary`: the form of all results, between those who measure and those who report;
- `settings`: what a case is asked to do, checked;
- `workload`: what the producers send;
- `arrivals`: what the consumers got, and whether that is right;
- `race`, `children`: threads, and processes, that start together;
- `case`: settings with a way to run them, repeated runs, and their row; `adapting`: how long;
- `works`, `pinning`, `throughput`, `queue_baseline`: one verified run over a channel, over
  `queue.Queue`;
- `rivals`: other queues, and ours, each behind one class; `parties`: what each side of a run does;
  `stages`: where they meet; `carrying`: one verified run of a rival;
- `scaling`, `oversubscribed`, `compare`, `latency`, `perf`: the measurements, each makes a section;
- `suite`: all of them;
- `profiled`, `flame`, `profile`: the runs under a profiler;
- `machine`, `report`, `difference`: where and when it was, kept as JSON, compared with another;
- `wording`, `tables`, `plots`, `terminal`, `page`: how it is shown;
- `progress`, `options`, `commands`: how it is asked for.
"""

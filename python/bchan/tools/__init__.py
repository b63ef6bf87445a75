"""The command `bchan`, which needs the standard library and NumPy alone.

The rooms, in the order in which they build on each other:

- `tables`: what a command has to show; `plain`: the same as text; `pretty`: with rich, for a
  terminal; `printing`: which of the two;
- `names`, `top`, `cpus`: the commands;
- `cli`: all of them, and those that other distributions add.
"""

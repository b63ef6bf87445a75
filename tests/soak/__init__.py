"""What goes wrong seldom: rounds with new seeds until the time is over; see `make soak`."""

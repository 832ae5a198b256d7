"""The fastest roads: networks, schedules and a loop that were chosen for one thing, the time to a stated accuracy."""

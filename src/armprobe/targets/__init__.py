"""Where probed code runs. The engine knows `targets.base` only; whoever starts a session constructs the target."""

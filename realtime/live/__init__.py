"""The sessions in memory: who owns which, its devices and timers, the run that is active."""

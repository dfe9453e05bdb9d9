"""Sagas: the protocol, the engine that drives them, barriers, and repeated requests."""

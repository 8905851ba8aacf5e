"""Neutron's side of Calico: it announces what changed, reads rows, and applies what calico-neutron-driver says. It decides nothing."""

__version__ = "0.1.0"

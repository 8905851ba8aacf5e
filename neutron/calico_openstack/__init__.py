"""Neutron's end of Calico: names what changed, reads rows and applies what calico-neutron-driver says. Decides nothing."""

__version__ = "0.1.0"

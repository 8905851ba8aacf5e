"""Neutron's side of Calico: it announces changes, reads rows, and carries out the orders of calico-neutron-driver. It decides nothing."""

__version__ = "0.1.0"

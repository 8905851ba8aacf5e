# DevStack's plugin for Calico on OpenStack. DevStack sources it at each phase, with the mode (stack, unstack, clean) and the phase as arguments.
# shellcheck shell=bash

calico_checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
calico_data=$DATA_DIR/calico
calico_agents=(calico-felix calico-dhcp-agent calico-bird-agent)

# Whether this node has Neutron's server, or starts VMs.
calico_on_server() { is_service_enabled q-svc || is_service_enabled neutron-api; }
calico_on_compute() { is_service_enabled n-cpu; }

calico_pre_install() {
  is_ubuntu || die $LINENO "Calico's agents are installed from Debian packages, so DevStack has to run on Debian or Ubuntu"
}

# The packages are only built here. They are installed when their configuration is there, so that each agent starts with it.
calico_install() {
  if calico_on_server || [ -z "$CALICO_PACKAGES" ]; then
    sudo "$calico_checkout/tools/install" package
    sudo chown -R "$STACK_USER" "$calico_checkout"
  fi
  if calico_on_compute && [ -z "$CALICO_PACKAGES" ]; then
    CALICO_PACKAGES=$calico_data/packages
    PATH="$calico_checkout/node_modules/.bin:$PATH" npm --prefix "$calico_checkout" run package -- --out "$CALICO_PACKAGES"
  fi
  # Neutron loads the driver from it; nova-compute, a mark on the taps.
  pip_install "$calico_checkout/neutron"
}

calico_configure_neutron() {
  local python=/usr/bin/python3
  if [ -n "${DEVSTACK_VENV:-}" ]; then python=$DEVSTACK_VENV/bin/python3; fi
  iniset "$NEUTRON_CONF" calico etcd_endpoints "$CALICO_ETCD_ENDPOINTS"
  # DevStack leaves it to Neutron's default when it is local, and the file may have another.
  iniset "/$Q_PLUGIN_CONF_FILE" ml2 tenant_network_types local
  iniset "$NEUTRON_CONF" calico neutron_driver_socket "$calico_data/driver.sock"
  iniset "$NEUTRON_CONF" calico neutron_driver_state_dir "$calico_data/driver"
  iniset "$NEUTRON_CONF" calico neutron_rows_command "$python -m calico_openstack.rows_process"
}

calico_start_driver() {
  # The journal belongs to the database, which DevStack has just created anew.
  rm -rf "$calico_data/driver"
  mkdir -p "$calico_data/driver"
  run_process calico-driver "$calico_checkout/packages/neutron-driver/bin/calico-neutron-driver --config-file $NEUTRON_CONF --config-file /$Q_PLUGIN_CONF_FILE"
}

calico_start_agents() {
  local name packages=()
  sudo mkdir -p /etc/calico
  for name in felix bird-agent; do
    printf '[global]\nEtcdEndpoints = %s\n' "$CALICO_ETCD_ENDPOINTS" | sudo tee "/etc/calico/$name.cfg" >/dev/null
  done
  # Felix sets it for each tap; the one for all interfaces would win over that.
  echo 'net.ipv4.conf.all.rp_filter = 0' | sudo tee /etc/sysctl.d/60-calico.conf >/dev/null
  sudo sysctl -q -p /etc/sysctl.d/60-calico.conf
  for name in calico-openstack-node "${calico_agents[@]}" calico-openstack-tools; do
    packages+=("$CALICO_PACKAGES/${name}"_*.deb)
  done
  install_package "${packages[@]}"
  # Packages that were there before have been started with the configuration of before.
  sudo systemctl restart "${calico_agents[@]}"
}

calico_post_config() {
  calico_configure_neutron
  if calico_on_server; then calico_start_driver; fi
  if calico_on_compute; then calico_start_agents; fi
}

calico_extra() {
  local name
  if calico_on_compute; then
    for name in "${calico_agents[@]}"; do
      sudo systemctl is-active "$name" >/dev/null || die $LINENO "$name does not run; its reason: journalctl -u $name"
    done
  fi
}

calico_unstack() {
  if calico_on_server; then stop_process calico-driver; fi
  if calico_on_compute; then sudo systemctl stop "${calico_agents[@]}"; fi
}

# What the agents have put in force outlasts them, so it is taken away before they are. Felix refuses while VMs are left.
calico_clean() {
  local name
  if calico_on_compute; then
    for name in calico-dhcp-agent calico-felix calico-bird-agent; do
      sudo "$name" --remove || echo "what $name has put in force was not taken away"
    done
    sudo apt-get purge -y "${calico_agents[@]}" calico-openstack-tools calico-openstack-node
    sudo rm -f /etc/calico/felix.cfg /etc/calico/bird-agent.cfg /etc/sysctl.d/60-calico.conf
  fi
  sudo rm -rf "${calico_data:?}"
}

case "$1 ${2:-}" in
'stack pre-install') calico_pre_install ;;
'stack install') calico_install ;;
'stack post-config') calico_post_config ;;
'stack extra') calico_extra ;;
'unstack ') calico_unstack ;;
'clean ') calico_clean ;;
esac
